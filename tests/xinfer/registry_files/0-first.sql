-- Before models could sleep and families could be registered.
CREATE TABLE models (uid TEXT PRIMARY KEY, spec TEXT NOT NULL);
INSERT INTO models VALUES ('m', '{"uid": "m", "name": "f", "path": "p", "created_at": 1.0}');
