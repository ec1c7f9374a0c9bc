-- As xinfer 0.1.0 wrote it before its files had a version.
CREATE TABLE models (uid TEXT PRIMARY KEY, spec TEXT NOT NULL, asleep INTEGER NOT NULL DEFAULT 0);
CREATE TABLE families (name TEXT PRIMARY KEY, family TEXT NOT NULL, persist INTEGER NOT NULL);
INSERT INTO models VALUES ('m', '{"uid": "m", "name": "f", "path": "p", "created_at": 1.0}', 1);
INSERT INTO families VALUES ('g', '{"name": "g"}', 1);
