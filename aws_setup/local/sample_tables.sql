-- The sample tables of the local account, without their rows: see sample_rows.sql.

CREATE TABLE public.mockrecord (
    id              bigint PRIMARY KEY,
    "user"          text NOT NULL,
    subject         text,
    score           numeric,
    passed          boolean,
    attempts        smallint NOT NULL,
    questions_list  text[],
    start_date_time timestamp,
    end_date_time   timestamp,
    notes           text
);
COMMENT ON TABLE public.mockrecord IS 'Mock exams, one row per sitting';
COMMENT ON COLUMN public.mockrecord."user" IS 'Who sat the exam';
COMMENT ON COLUMN public.mockrecord.subject IS 'School subject; NULL when the sitting was free';
COMMENT ON COLUMN public.mockrecord.score IS 'Percent; NULL until marked';
COMMENT ON COLUMN public.mockrecord.questions_list IS 'Questions in the order asked';
COMMENT ON COLUMN public.mockrecord.start_date_time IS 'Local time of the exam room; NULL when it was never scheduled, infinity when put off';
CREATE INDEX ON public.mockrecord (start_date_time);

CREATE SCHEMA sales;
CREATE TYPE sales.order_status AS ENUM ('new', 'paid', 'sent', 'returned');
CREATE TABLE sales."Orders" (
    "orderNumber"  bigint PRIMARY KEY,
    reference      uuid NOT NULL UNIQUE,
    placed_at      timestamptz,
    customer       text NOT NULL,
    status         sales.order_status NOT NULL,
    total          numeric(12, 2) NOT NULL,
    exchange_rate  numeric,
    weight_kg      double precision,
    lines          jsonb NOT NULL,
    gift           boolean,
    deliver_on     date,
    receipt        bytea,
    "Ship To City" varchar(60)
);
COMMENT ON TABLE sales."Orders" IS 'Orders of the web shop';
COMMENT ON COLUMN sales."Orders".placed_at IS 'When the order was placed; months are those of America/Chicago';
COMMENT ON COLUMN sales."Orders".total IS 'US dollars';
COMMENT ON COLUMN sales."Orders".receipt IS 'Signature of the receipt';
CREATE INDEX ON sales."Orders" (placed_at);
