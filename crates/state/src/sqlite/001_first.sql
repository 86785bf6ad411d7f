-- Answers stand in threads: all that continue one another, in as many branches as there are. A thread lives as long
-- as it is used, so that nobody loses the beginning of a conversation that goes on.
CREATE TABLE threads (
    product TEXT NOT NULL,
    id TEXT NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (product, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX threads_by_use ON threads (used);

CREATE TABLE answers (
    product TEXT NOT NULL,
    id TEXT NOT NULL,
    thread TEXT NOT NULL,
    previous TEXT,
    conversation TEXT,
    -- items of the conversation that came before the answer's own
    conversation_items INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (product, id)
) STRICT;
CREATE INDEX answers_by_thread ON answers (product, thread);

CREATE TABLE conversations (
    product TEXT NOT NULL,
    id TEXT NOT NULL,
    created INTEGER NOT NULL,
    used INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    PRIMARY KEY (product, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_by_use ON conversations (used);

-- Items of an answer (asked 1, answered 0) or of a conversation.
CREATE TABLE items (
    product TEXT NOT NULL,
    holder TEXT NOT NULL,
    place INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (product, holder, place)
) STRICT;
CREATE INDEX items_by_id ON items (product, id);

CREATE TABLE seals (
    product TEXT NOT NULL,
    digest BLOB NOT NULL,
    signer TEXT NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (product, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX seals_by_use ON seals (used);
