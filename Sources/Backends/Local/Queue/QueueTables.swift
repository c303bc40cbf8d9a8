import GRDB

/// The tables of one queue, and every statement on them.
///
/// A message row never changes (its body may be 256 KiB). A *group* row exists while the group has messages; it names
/// the head (the oldest message) and holds all that changes: receives, token, and exactly one of
/// - `turn`: the head stands in line; lower turns first. A group that comes back joins the end, so groups take turns.
/// - `until`: the head is out (`held` = 1) or delayed (`held` = 0) until that time (milliseconds).
///
/// So receiving looks at two short partial indexes and never at the backlog.
struct QueueTables: Sendable {
    let name: String

    private let messages, groups, seen: String
    let insertSeen, deleteSeen: String
    let findGroup, insertGroup, insertMessage, count: String
    let due, inLine, nextReturn: String
    let take, body: String
    let group, deleteMessage, nextInGroup, deleteGroup, advance, extend, delay, requeue: String
    let depth, inFlight, oldest: String
    let recover, lastMessage, lastTurn: String

    init(name: String) {
        self.name = name
        let messages = "queue_\(name)_messages", groups = "queue_\(name)_groups", seen = "queue_\(name)_seen"
        (self.messages, self.groups, self.seen) = (messages, groups, seen)
        // ?2 now, ?3 the start of the window.
        insertSeen = "INSERT INTO \(seen)(id, at) VALUES(?1, ?2) ON CONFLICT(id) DO UPDATE SET at = ?2 WHERE at <= ?3"
        deleteSeen = "DELETE FROM \(seen) WHERE id IN (SELECT id FROM \(seen) WHERE at <= ? ORDER BY at LIMIT ?)"
        findGroup = "SELECT id FROM \(groups) WHERE name = ?"
        insertGroup = "INSERT INTO \(groups)(name, head, receives, token, held, since, turn) VALUES(?, ?, 0, 0, 0, 0, ?)"
        insertMessage = "INSERT INTO \(messages)(id, grp, dedup, sent, body) VALUES(?, ?, ?, ?, ?)"
        count = "UPDATE queues SET messages = messages + ? WHERE name = ?"
        due = "SELECT id, head, receives, name FROM \(groups) WHERE until IS NOT NULL AND until <= ? ORDER BY until LIMIT ?"
        inLine = "SELECT id, head, receives, name FROM \(groups) WHERE turn IS NOT NULL ORDER BY turn LIMIT ?"
        nextReturn = "SELECT until FROM \(groups) WHERE until IS NOT NULL ORDER BY until LIMIT 1"
        take = "UPDATE \(groups) SET turn = NULL, until = ?2, held = 1, since = ?3, token = ?4, receives = receives + 1 WHERE id = ?1"
        body = "SELECT body, dedup, sent FROM \(messages) WHERE id = ?"
        group = "SELECT head, token, since, until FROM \(groups) WHERE id = ?"
        deleteMessage = "DELETE FROM \(messages) WHERE id = ?"
        nextInGroup = "SELECT id FROM \(messages) WHERE grp = ? ORDER BY id LIMIT 1"
        deleteGroup = "DELETE FROM \(groups) WHERE id = ?"
        advance = "UPDATE \(groups) SET head = ?2, receives = 0, token = 0, held = 0, since = 0, until = NULL, turn = ?3 WHERE id = ?1"
        extend = "UPDATE \(groups) SET until = ?2, held = 1, turn = NULL WHERE id = ?1"
        delay = "UPDATE \(groups) SET until = ?2, held = 0, turn = NULL WHERE id = ?1"
        requeue = "UPDATE \(groups) SET until = NULL, held = 0, turn = ?2 WHERE id = ?1"
        depth = "SELECT messages FROM queues WHERE name = ?"
        inFlight = "SELECT count(*) FROM \(groups) WHERE until IS NOT NULL AND until > ? AND held = 1"
        oldest = "SELECT sent FROM \(messages) ORDER BY id LIMIT 1"
        recover = "UPDATE \(groups) SET until = NULL, held = 0, turn = 0 WHERE until IS NOT NULL AND held = 1"
        lastMessage = "SELECT max(id) FROM \(messages)"
        lastTurn = "SELECT turn FROM \(groups) WHERE turn IS NOT NULL ORDER BY turn DESC LIMIT 1"
    }

    /// Statements that run per message, for the test that none of them scans.
    var hot: [String] {
        [insertSeen, deleteSeen, findGroup, insertGroup, insertMessage, count, due, inLine, nextReturn, take, body, group, deleteMessage,
         nextInGroup, deleteGroup, advance, extend, delay, requeue, depth, inFlight, oldest]
    }

    func create(_ db: Database) throws {
        try db.execute(sql: """
            CREATE TABLE IF NOT EXISTS \(messages)(
                id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, dedup TEXT NOT NULL, sent INTEGER NOT NULL, body TEXT NOT NULL);
            CREATE INDEX IF NOT EXISTS \(messages)_order ON \(messages)(grp, id);
            CREATE TABLE IF NOT EXISTS \(groups)(
                id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, head INTEGER NOT NULL, receives INTEGER NOT NULL,
                token INTEGER NOT NULL, held INTEGER NOT NULL, since INTEGER NOT NULL, turn INTEGER, until INTEGER);
            CREATE INDEX IF NOT EXISTS \(groups)_line ON \(groups)(turn) WHERE turn IS NOT NULL;
            CREATE INDEX IF NOT EXISTS \(groups)_out ON \(groups)(until, held) WHERE until IS NOT NULL;
            CREATE TABLE IF NOT EXISTS \(seen)(id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS \(seen)_at ON \(seen)(at);
            INSERT OR IGNORE INTO queues(name, messages) VALUES('\(name)', 0);
            """)
    }
}
