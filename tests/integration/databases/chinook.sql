-- A shop of music like the Chinook database, with rows of our own: names in lower case, invoices with a timestamp,
-- customers without one.

CREATE TABLE artist (artist_id int PRIMARY KEY, name varchar(120));
CREATE TABLE album (album_id int PRIMARY KEY, title varchar(160) NOT NULL, artist_id int NOT NULL REFERENCES artist);
CREATE TABLE genre (genre_id int PRIMARY KEY, name varchar(120));
CREATE TABLE employee (
    employee_id int PRIMARY KEY, last_name varchar(20) NOT NULL, first_name varchar(20) NOT NULL, title varchar(30),
    reports_to int REFERENCES employee, birth_date timestamp, hire_date timestamp, address varchar(70),
    phone varchar(24), email varchar(60)
);
CREATE TABLE customer (
    customer_id int PRIMARY KEY, first_name varchar(40) NOT NULL, last_name varchar(20) NOT NULL, company varchar(80),
    city varchar(40), country varchar(40), phone varchar(24), email varchar(60) NOT NULL,
    support_rep_id int REFERENCES employee
);
CREATE TABLE track (
    track_id int PRIMARY KEY, name varchar(200) NOT NULL, album_id int REFERENCES album, genre_id int REFERENCES genre,
    milliseconds int NOT NULL, unit_price numeric(10, 2) NOT NULL
);
CREATE TABLE invoice (
    invoice_id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer, invoice_date timestamp NOT NULL,
    billing_address varchar(70), billing_city varchar(40), billing_country varchar(40), total numeric(10, 2) NOT NULL,
    contact varchar(60)
);
CREATE INDEX invoice_customer_id_idx ON invoice (customer_id);
CREATE TABLE invoice_line (
    invoice_line_id int PRIMARY KEY, invoice_id int NOT NULL REFERENCES invoice, track_id int NOT NULL REFERENCES track,
    unit_price numeric(10, 2) NOT NULL, quantity int NOT NULL
);

INSERT INTO artist SELECT i, 'Artist ' || i FROM generate_series(1, 30) AS i;
INSERT INTO album SELECT i, 'Album ' || i, 1 + i % 30 FROM generate_series(1, 60) AS i;
INSERT INTO genre SELECT i, (ARRAY['Rock', 'Jazz', 'Blues'])[i] FROM generate_series(1, 3) AS i;
INSERT INTO employee SELECT i, 'Last' || i, 'First' || i, 'Agent', nullif(i - 1, 0), timestamp '1960-01-01' + i * interval '2 years',
    timestamp '2002-05-01' + i * interval '5 months', i || ' Main Street', '+1 (780) 428-' || 1000 + i, 'agent' || i || '@shop.example'
FROM generate_series(1, 8) AS i;
INSERT INTO customer SELECT i, 'First' || i, 'Last' || i, CASE WHEN i % 4 = 0 THEN 'Company ' || i END, 'City ' || i % 9,
    (ARRAY['Canada', 'Chile', 'Česko'])[1 + i % 3], '+55 (12) 3923-' || 5000 + i, 'customer' || i || '@mail.example', 1 + i % 8
FROM generate_series(1, 59) AS i;
INSERT INTO track SELECT i, 'Track ' || i, 1 + i % 60, 1 + i % 3, 200000 + i, 0.99 FROM generate_series(1, 300) AS i;
INSERT INTO invoice SELECT i, 1 + i % 59, timestamp '2009-01-01' + i * interval '106 hours', i || ' Any Street', 'City ' || i % 9,
    'Canada', 0.99 * (1 + i % 14), 'customer' || 1 + i % 59 || '@mail.example'
FROM generate_series(0, 411) AS i;
INSERT INTO invoice_line SELECT i, i % 412, 1 + i % 300, 0.99, 1 FROM generate_series(1, 2240) AS i;
ANALYZE;
