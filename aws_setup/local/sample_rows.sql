-- Rows of the sample tables: 24 months, 2023-01 to 2024-12, and 100 sittings and 25 orders for each day after that.
-- A row depends on its number alone, so that it is the same every time. Values are what real tables hold and what CSV
-- readers and writers trip over. Runs in one transaction. psycopg fills in the numbers.

CREATE FUNCTION pg_temp.scatter(i bigint, below bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (i * 2654435761) % 4294967296 % below $$;  -- Knuth's multiplicative hash: no randomness, no order

CREATE FUNCTION pg_temp.later(i bigint, a_day int) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
$$ SELECT timestamp '2025-01-01' + i / a_day * interval '1 day' + pg_temp.scatter(i, 86400) * interval '1 second'
                                 + pg_temp.scatter(i * 13, 1000000) * interval '1 microsecond' $$;

INSERT INTO public.mockrecord
SELECT i,
       (ARRAY['ana', 'björn', 'chidi', 'Дмитрий', 'ευα', '小明', 'O''Brien', 'van der Berg, Jan', 'user "x"', 'fatima'])
           [1 + pg_temp.scatter(i, 10)] || '-' || i % 977,
       (ARRAY['maths', 'physics', 'history', 'français', 'biology', 'العربية', '日本語', '', NULL, 'arts, crafts'])
           [1 + pg_temp.scatter(i / 3, 10)],
       CASE WHEN i % 17 = 0 THEN NULL
            WHEN i % 4999 = 0 THEN 33.333333333333333333333333333333
            ELSE round(pg_temp.scatter(i * 31, 10001) / 100.0, 2) END,
       CASE WHEN i % 17 = 0 THEN NULL ELSE pg_temp.scatter(i * 31, 10001) >= 5000 END,
       1 + i % 5,
       CASE i % 13
            WHEN 0 THEN NULL
            WHEN 1 THEN '{}'
            WHEN 2 THEN ARRAY['']
            WHEN 3 THEN ARRAY['what is 1,000 + 1?', 'say "hello"', NULL, 'last']
            WHEN 4 THEN ARRAY[E'two\nlines', 'back\slash', '{braces}', '何ですか']
            ELSE ARRAY['q' || i % 101, 'q' || i % 211, 'q' || i % 307] END,
       start_at,
       CASE WHEN i % 29 = 0 THEN NULL ELSE start_at + pg_temp.scatter(i, 7200) * interval '1 second' END,
       (ARRAY[NULL, '', ' ', 'plain', 'comma, comma', 'she said "no"', '"', E'line one\nline two', E'carriage\r\nreturn', E'lone\rreturn',
              E'tab\there', 'C:\temp\new', 'trailing backslash\', '  padded  ', 'naïve café', 'Привет, мир', '你好，世界', 'مرحبا', 'नमस्ते',
              '👩‍🚀 🚀 ✅', E'combining e\u0301', 'NULL', '\N', 'null', '''single''', '=1+1', '#hash', '0042', '1e5', 'true', '2024-02-30',
              E'nbsp\u00A0here', E'zero\u200Bwidth', 'semi;colon', '<b>&amp;</b>', repeat('long ', 200)])
           [1 + pg_temp.scatter(i * 7, 36)]
FROM (
    SELECT i,
           CASE WHEN i > 200000 THEN pg_temp.later(i - 200001, 100)
                WHEN i % 20000 = 7 THEN NULL
                WHEN i = 100001 THEN 'infinity'
                WHEN i = 100002 THEN '-infinity'
                -- the edges of months, a leap day, and the hour that many zones skip
                WHEN i <= 6 THEN (ARRAY['2023-01-01 00:00:00', '2023-12-31 23:59:59.999999', '2024-01-01 00:00:00',
                                        '2024-02-29 23:59:59.999999', '2024-03-01 00:00:00', '2024-03-31 02:30:00'])[i]::timestamp
                ELSE timestamp '2023-01-01' + pg_temp.scatter(i, 63158400) * interval '1 second'
                                            + pg_temp.scatter(i * 13, 1000000) * interval '1 microsecond' END AS start_at
    FROM generate_series({first_sitting}, {last_sitting}) AS i
) AS sittings;

INSERT INTO sales."Orders"
SELECT i,
       md5('order ' || i)::uuid,
       placed_at,
       'customer ' || pg_temp.scatter(i, 4999),
       (ARRAY['new', 'paid', 'sent', 'returned'])[1 + i % 4]::sales.order_status,
       round(pg_temp.scatter(i * 11, 10000000) / 100.0, 2) * CASE WHEN i % 50 = 0 THEN -1 ELSE 1 END,
       CASE WHEN i % 5 = 0 THEN NULL ELSE 1 + pg_temp.scatter(i, 1000003) / 1000000007.0 END,
       CASE WHEN i % 5003 = 0 THEN 'NaN' WHEN i % 7 = 0 THEN NULL ELSE pg_temp.scatter(i, 100000) / 7.0::double precision END,
       jsonb_build_array(jsonb_build_object('sku', 'S-' || i % 199, 'qty', 1 + i % 9, 'note', CASE WHEN i % 3 = 0 THEN 'a "b", c' END)),
       (ARRAY[true, false, NULL])[1 + i % 3],
       CASE WHEN i % 6 = 0 THEN NULL ELSE (placed_at AT TIME ZONE 'America/Chicago')::date + (i % 20)::int END,
       CASE WHEN i % 8 = 0 THEN NULL ELSE sha256(int8send(i)) END,
       (ARRAY['Chicago', 'St. Louis', 'São Paulo', '東京', 'Coeur d''Alene', 'Winston-Salem, NC', '', NULL])[1 + i % 8]
FROM (
    SELECT i,
           CASE WHEN i > 50000 THEN pg_temp.later(i - 50001, 25) AT TIME ZONE 'America/Chicago'
                WHEN i % 10000 = 3 THEN NULL
                WHEN i = 25001 THEN 'infinity'
                -- in UTC these belong to the next month, in Chicago still to the last; then the hour that comes twice
                WHEN i <= 2 THEN (ARRAY['2024-02-29 23:30:00-06', '2024-10-31 23:59:59.999999-05'])[i]::timestamptz
                WHEN i IN (4, 5) THEN timestamptz '2024-11-03 01:30:00-05' + (i - 4) * interval '1 hour'
                ELSE timestamptz '2023-01-01 00:00:00-06' + pg_temp.scatter(i * 3, 63158400) * interval '1 second'
                                                          + pg_temp.scatter(i, 1000) * interval '1 millisecond' END AS placed_at
    FROM generate_series({first_order}::bigint, {last_order}) AS i
) AS baskets;
