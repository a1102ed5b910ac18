-- A table as applications fill them: rows in the order in which they happened, some brought in late, NULLs, values that
-- CSV must quote, no index on the date. {rows} rows over the 24 months from 2023-01 on, about 175 bytes of CSV each.
CREATE TABLE {table} (
    id              bigint NOT NULL,
    session_id      uuid NOT NULL,
    "user"          text NOT NULL,
    subject         text,
    score           numeric,
    fee             numeric(10, 2) NOT NULL,
    passed          boolean,
    attempts        smallint NOT NULL,
    rating          double precision,
    questions_list  text[],
    start_date_time timestamp,
    created_at      timestamptz NOT NULL,
    client          jsonb,
    notes           text
);

INSERT INTO {table}
SELECT i,
       md5(i::text)::uuid,
       (ARRAY['ana', 'björn', 'chidi', 'Дмитрий', 'ευα', '小明', 'O''Brien', 'van der Berg, Jan', 'user "x"', 'fatima'])
           [1 + h % 10] || '-' || h % 99991,
       (ARRAY['maths', 'physics', 'history', 'français', 'biology', 'العربية', '日本語', '', NULL, 'arts, crafts'])
           [1 + h / 64 % 10],
       CASE WHEN i % 17 <> 0 THEN round((h % 10001) / 100.0, 2) END,
       round((h % 4999) / 100.0, 2),
       CASE WHEN i % 17 <> 0 THEN h % 10001 >= 5000 END,
       1 + i % 5,
       CASE WHEN i % 3 = 0 THEN (h % 1000) / 7.0::double precision END,
       CASE i % 13
            WHEN 0 THEN NULL
            WHEN 1 THEN '{{}}'
            WHEN 2 THEN ARRAY['what is 1,000 + 1?', 'say "hello"', NULL]
            ELSE ARRAY['q' || h % 101, 'q' || h % 211, 'q' || h % 307] END,
       CASE WHEN i % 20000 <> 7 THEN date_trunc('second', start_at) - late END,
       start_at AT TIME ZONE 'UTC' + (h % 3600) * interval '1 second',
       CASE WHEN i % 3 = 0 THEN jsonb_build_object('os', (ARRAY['android', 'ios', 'linux'])[1 + h % 3], 'tries', h % 4) END,
       (ARRAY[NULL, NULL, '', 'plain', 'comma, comma', 'she said "no"', E'line one\nline two', '  padded  ', 'naïve café',
              'Привет, мир', '0042', 'a remark of the usual length, neither short nor long'])[1 + h / 8 % 12]
FROM (
    SELECT i,
           h,
           timestamp '2023-01-01' + i * (interval '731 days' / {rows}) AS start_at,
           -- 1 in 50 is brought in up to 40 days late, never before the first month
           CASE WHEN i % 50 = 0 THEN least(h % 40, i * 731 / {rows}) * interval '1 day' ELSE interval '0' END AS late
    FROM generate_series(0::bigint, {rows} - 1) AS i, LATERAL (SELECT (i * 2654435761) % 4294967296 AS h) AS hashed
) AS sittings;
