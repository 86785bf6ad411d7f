-- Keys of the admin API beside those of products, and what a key may use.
ALTER TABLE keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'product';
ALTER TABLE keys ADD COLUMN quota TEXT NOT NULL DEFAULT '{}';
ALTER TABLE keys ADD COLUMN line TEXT NOT NULL DEFAULT '';
UPDATE keys SET line = id;
