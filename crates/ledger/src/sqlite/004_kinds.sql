-- A day is two tables and a view. Most of what a row says it shares with thousands of others (who asked whom, by which
-- rules, with which outcome): that is its kind, written once a day into `kinds_<day>`. What is its own lies in `rows_<day>`.
-- The view `attempts_<day>` has whole rows, in the columns of the mould `attempts`; the scores of `candidates`, which belong
-- to the row, stand in `scores`, eight bytes each.
-- The tables are made from the mould when a day begins; days in the older form, one wide table each, are taken over.

-- Rows lie in the order in which their requests came, which their ids say. How much later, or earlier by a clock set back,
-- attempts of a day began, in microseconds: so a span of time is a span of places.
ALTER TABLE days ADD COLUMN early INTEGER NOT NULL DEFAULT 0;
ALTER TABLE days ADD COLUMN late INTEGER NOT NULL DEFAULT 0;
