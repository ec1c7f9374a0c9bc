-- Version 1, with a record of that version.
CREATE TABLE models (uid TEXT PRIMARY KEY, spec TEXT NOT NULL, asleep INTEGER NOT NULL DEFAULT 0);
CREATE TABLE families (name TEXT PRIMARY KEY, family TEXT NOT NULL, persist INTEGER NOT NULL);
PRAGMA user_version = 1;
INSERT INTO models VALUES ('m', '{"uid": "m", "name": "f", "path": "p", "created_at": 1.0, "declaration": {"model_name": "f"}}', 1);
INSERT INTO families VALUES ('g', '{"name": "g"}', 1);
