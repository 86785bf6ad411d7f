-- Rows lie in one table per day on which their requests came, so that a day is forgotten by dropping its table. The table
-- `attempts` stays as the mould of these: it is always empty. What lies where, and when its attempts began:
CREATE TABLE days (
    day INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT;

-- What attempts of one kind add up to, by the day and the hour in which they began (numbered from 1970, UTC), written with
-- the rows they sum. A kind is the JSON of its key, stored once.
CREATE TABLE flow_keys (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE flows_by_day (
    key INTEGER NOT NULL,
    span INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    output INTEGER NOT NULL,
    uncounted INTEGER NOT NULL,
    cost_nanodollars INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    largest INTEGER,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (key, span)
) STRICT, WITHOUT ROWID;
CREATE TABLE flows_by_hour (
    key INTEGER NOT NULL,
    span INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    output INTEGER NOT NULL,
    uncounted INTEGER NOT NULL,
    cost_nanodollars INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    largest INTEGER,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (key, span)
) STRICT, WITHOUT ROWID;

-- Requests that came on an earlier day are forgotten, and so may be attempts that began before this moment.
INSERT INTO meta (name, value) VALUES ('first_day', 0), ('forgotten_until', -9223372036854775808);
