-- A trader like the Northwind database, with rows of our own: names with capitals and blanks, dates that are filled in
-- later or may lie in the future, a table that a schema of the archive has too.

CREATE TABLE "Customers" (
    "CustomerID" char(5) PRIMARY KEY, "CompanyName" varchar(40) NOT NULL, "ContactName" varchar(30), "Address" varchar(60),
    "City" varchar(15), "Phone" varchar(24), "Fax" varchar(24)
);
CREATE TABLE "Employees" (
    "EmployeeID" smallint PRIMARY KEY, "LastName" varchar(20) NOT NULL, "FirstName" varchar(10) NOT NULL, "BirthDate" date,
    "HireDate" date, "HomePhone" varchar(24), "Notes" text, "PhotoPath" varchar(255)
);
CREATE TABLE "Orders" (
    "OrderID" int PRIMARY KEY, "CustomerID" char(5) REFERENCES "Customers", "RequiredDate" date, "ShippedDate" date,
    "OrderDate" date, "Freight" real, "ShipAddress" varchar(60), "Remark" text
);
CREATE INDEX ON "Orders" ("OrderDate");
CREATE TABLE "Order Details" (
    "OrderID" int NOT NULL REFERENCES "Orders", "ProductID" int NOT NULL, "UnitPrice" real NOT NULL,
    "Quantity" smallint NOT NULL, PRIMARY KEY ("OrderID", "ProductID")
);
CREATE TABLE "Contacts" ("ContactID" int PRIMARY KEY, "Born" date NOT NULL);
CREATE VIEW "Orders Qry" AS SELECT "OrderID", "OrderDate", "CompanyName" FROM "Orders" JOIN "Customers" USING ("CustomerID");
CREATE SCHEMA archive;
CREATE TABLE archive."Orders" ("OrderID" int PRIMARY KEY, order_date date NOT NULL, iban text, card text, login_token text);

INSERT INTO "Customers" SELECT 'C' || lpad(i::text, 4, '0'), 'Company ' || i, 'Contact ' || i, 'Street ' || i, 'City', '030-00' || 74300 + i, NULL
FROM generate_series(1, 90) AS i;
INSERT INTO "Employees" SELECT i, 'Last' || i, 'First' || i, date '1950-01-08' + i * 700, date '1992-04-01' + i * 90, '(206) 555-' || 9000 + i,
    E'Speaks French.\nJoined in spring.', NULL FROM generate_series(1, 9) AS i;
INSERT INTO "Orders" SELECT 10248 + i, 'C' || lpad((1 + i % 90)::text, 4, '0'), day + 28, CASE WHEN i < 800 THEN day + 7 END, day, i % 100,
    'Street ' || i % 90, CASE i % 3 WHEN 0 THEN '' WHEN 1 THEN 'fragile' END
FROM generate_series(0, 829) AS i, LATERAL (SELECT date '1996-07-04' + i * 671 / 830 AS day) AS at;
INSERT INTO "Order Details" SELECT "OrderID", 1 + "OrderID" % 77, 14, 3 FROM "Orders";
INSERT INTO "Contacts" SELECT i, date '1970-01-01' + i * 30 FROM generate_series(1, 40) AS i;
-- Numbers of accounts and cards from the standards' own examples; nobody has them.
INSERT INTO archive."Orders" SELECT i, CASE WHEN i % 50 = 0 THEN date '1900-01-01' ELSE date '1994-01-01' + i END,
    (ARRAY['DE89370400440532013000', 'GB82WEST12345698765432', 'FR1420041010050500013M02606', 'NL91ABNA0417164300'])[1 + i % 4],
    (ARRAY['4111 1111 1111 1111', '5500 0000 0000 0004', '3400 000000 00009', '6011 0000 0000 0004'])[1 + i % 4],
    md5(i::text) FROM generate_series(1, 400) AS i;
ANALYZE;
