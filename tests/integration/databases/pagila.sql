-- A film rental like the Pagila database, with rows of our own: payments in a partition per month, timestamptz, enums,
-- domains, arrays, tsvector, views, a materialised view.

CREATE TYPE mpaa_rating AS ENUM ('G', 'PG', 'R');
CREATE DOMAIN year AS integer CHECK (VALUE BETWEEN 1901 AND 2155);
CREATE DOMAIN stamp AS timestamptz NOT NULL;
CREATE TABLE category (category_id int PRIMARY KEY, name text NOT NULL, last_update timestamptz NOT NULL DEFAULT now());
CREATE TABLE customer (
    customer_id int PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, email text, activebool boolean NOT NULL,
    create_date date NOT NULL, last_update timestamptz
);
CREATE TABLE film (
    film_id int PRIMARY KEY, title text NOT NULL, release_year year, rating mpaa_rating, special_features text[],
    fulltext tsvector NOT NULL, length interval, last_update timestamptz NOT NULL
);
CREATE TABLE staff (
    staff_id int PRIMARY KEY, first_name text NOT NULL, username text NOT NULL, password text, picture bytea,
    last_update timestamptz NOT NULL
);
CREATE TABLE rental (
    rental_id int PRIMARY KEY, rental_date stamp, customer_id int NOT NULL REFERENCES customer, return_date timestamptz,
    last_update timestamptz NOT NULL
);
CREATE INDEX ON rental (rental_date);
CREATE TABLE payment (
    payment_id int NOT NULL, customer_id int NOT NULL, amount numeric(5, 2) NOT NULL, payment_date timestamptz NOT NULL,
    PRIMARY KEY (payment_date, payment_id)
) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_p2022_01 PARTITION OF payment FOR VALUES FROM ('2022-01-01 UTC') TO ('2022-02-01 UTC');
CREATE TABLE payment_p2022_02 PARTITION OF payment FOR VALUES FROM ('2022-02-01 UTC') TO ('2022-03-01 UTC');
CREATE TABLE payment_p2022_03 PARTITION OF payment FOR VALUES FROM ('2022-03-01 UTC') TO ('2022-04-01 UTC');
CREATE VIEW customer_list AS SELECT customer_id AS id, first_name || ' ' || last_name AS name, create_date FROM customer;
CREATE VIEW film_list AS SELECT film_id, title FROM film;
CREATE MATERIALIZED VIEW rental_by_day AS
    SELECT rental_date::date AS day, count(*) AS rentals FROM rental GROUP BY 1 WITH NO DATA;

INSERT INTO category SELECT i, 'Category ' || i, '2022-02-15 10:02:19+00' FROM generate_series(1, 16) AS i;
INSERT INTO customer SELECT i, 'FIRST' || i, 'LAST' || i, 'first' || i || '@rental.example', true, date '2022-01-14' + i / 10, '2022-02-15 10:02:19+00'
FROM generate_series(1, 300) AS i;
INSERT INTO film SELECT i, 'FILM ' || i, 2006, (ARRAY['G', 'PG', 'R'])[1 + i % 3]::mpaa_rating, ARRAY['Trailers', 'Deleted, "Scenes"'],
    to_tsvector('film ' || i), i * interval '1 minute', '2022-09-10 17:46:03+00' FROM generate_series(1, 100) AS i;
INSERT INTO staff VALUES (1, 'Mike', 'mike', '$2b$12$KIXQ4pMZ0Qm8hN8o0tqv8uR1g0y8S9d6X7W5V4U3T2S1R0Q9P8O7N', '\x00ff', '2022-02-16 03:57:16+00'),
    (2, 'Jon', 'jon', NULL, NULL, '2022-02-16 03:57:16+00');
INSERT INTO rental SELECT i, timestamptz '2022-01-05 22:53:30+00' + i * interval '33 minutes', 1 + i % 300,
    CASE WHEN i % 20 <> 0 THEN timestamptz '2022-01-08 22:53:30+00' + i * interval '33 minutes' END, '2022-02-16 02:30:53+00'
FROM generate_series(1, 3000) AS i;
INSERT INTO payment SELECT i, 1 + i % 300, 0.99 + i % 10, timestamptz '2022-01-01 00:30:00+00' + i * interval '40 minutes'
FROM generate_series(0, 3100) AS i;
REFRESH MATERIALIZED VIEW rental_by_day;
-- As autovacuum does: it analyses each partition, and never the partitioned table.
ANALYZE category, customer, film, staff, rental, rental_by_day, payment_p2022_01, payment_p2022_02, payment_p2022_03;
