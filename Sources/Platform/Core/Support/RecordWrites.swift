import Foundation

// What a write does to a record, as a pure function: a SQL backend reads the record, calls `apply`, and stores the
// outcome, all in one transaction.

/// What to store after a write.
public enum WriteOutcome: Sendable, Hashable {
    case store(StoredRecord)
    case delete
    /// A check, or a delete of what was absent.
    case nothing

    /// The record after the write.
    public var after: StoredRecord? { if case .store(let record) = self { record } else { nil } }
}

/// Limits of one write, DynamoDB's with a margin: what is accepted here is accepted everywhere.
public enum RecordLimits {
    /// Of 400 KB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html), less key and index copies.
    public static let maxBytes = 380 * 1024
    public static let maxNesting = 32
    public static let maxWrites = 25
    public static let maxPartitionBytes = 2048
    public static let maxSortBytes = 1024
}

extension StoredRecord {
    /// Whether the record counts as present: records expire at the very instant of `expiresAt`.
    public func isLive(at now: Date) -> Bool { expiresAt.map { $0 > now } ?? true }
}

extension RecordWrite {
    /// Carries the write out on the record as it is now. An expired `current` counts as absent.
    /// - Parameter index: place of the write in its transaction, for the error.
    /// - Throws: ``RecordStoreError/conditionFailed(index:current:)``, ``RecordStoreError/invalidWrite(_:)``.
    public func apply(to current: StoredRecord?, at now: Date, index: Int = 0) throws(RecordStoreError) -> WriteOutcome {
        let current = current.flatMap { $0.isLive(at: now) ? $0 : nil }
        guard condition?.holds(in: current?.document) ?? true else { throw .conditionFailed(index: index, current: current) }
        switch self {
        case .put(let key, let document, let expiresAt, _):
            return .store(StoredRecord(key: key, document: document, expiresAt: expiresAt.map(Self.wholeSeconds)))
        case .update(let key, let changes, let orCreate, let expiresAt, _):
            guard current != nil || orCreate else { throw .conditionFailed(index: index, current: nil) }
            let document = try (current?.document ?? [:]).applying(changes)
            try Self.requireFit(document, key)
            return .store(
                StoredRecord(key: key, document: document, expiresAt: expiresAt.map(Self.wholeSeconds) ?? current?.expiresAt))
        case .delete: return current == nil ? .nothing : .delete
        case .check: return .nothing
        }
    }

    public var condition: Condition? {
        switch self {
        case .put(_, _, _, let condition), .update(_, _, _, _, let condition), .delete(_, let condition): condition
        case .check(_, let condition): condition
        }
    }

    /// Expiries are whole seconds; rounded up, so that nothing ends early.
    static func wholeSeconds(_ date: Date) -> Date { Date(timeIntervalSince1970: date.timeIntervalSince1970.rounded(.up)) }

    /// Checks a call of `write` (one element) or `transact` before anything is read.
    /// - Throws: ``RecordStoreError/invalidWrite(_:)`` with the reason.
    public static func validate(_ writes: [RecordWrite]) throws(RecordStoreError) {
        guard writes.count <= RecordLimits.maxWrites else {
            throw .invalidWrite("a transaction has at most \(RecordLimits.maxWrites) writes, not \(writes.count)")
        }
        var seen = Set<RecordKey>()
        for write in writes {
            guard seen.insert(write.key).inserted else {
                throw .invalidWrite("a transaction may name the record \(write.key.text) only once")
            }
            try write.validate()
        }
    }

    private func validate() throws(RecordStoreError) {
        guard (1...RecordLimits.maxPartitionBytes).contains(key.partition.utf8.count),
            (1...RecordLimits.maxSortBytes).contains(key.sort.utf8.count)
        else {
            throw .invalidWrite("a record key needs a partition of 1 to 2048 and a sort key of 1 to 1024 bytes (\(key.text))")
        }
        try condition?.validate()
        switch self {
        case .put(_, let document, let expiresAt, _):
            try requireExpiringTable(expiresAt)
            try Self.requireFit(document, key)
        case .update(_, let changes, _, let expiresAt, _):
            try requireExpiringTable(expiresAt)
            try Change.requireDisjoint(changes)
        case .delete, .check: break
        }
    }

    private func requireExpiringTable(_ expiresAt: Date?) throws(RecordStoreError) {
        guard expiresAt == nil || key.table.expires else {
            throw .invalidWrite("records of the table “\(key.table.name)” do not expire")
        }
    }

    private static func requireFit(_ document: Document, _ key: RecordKey) throws(RecordStoreError) {
        let value = Value.object(document)
        guard let bytes = value.storedBytes(nesting: 0) else {
            throw .invalidWrite(
                "\(key.text) is nested deeper than \(RecordLimits.maxNesting) levels or holds a number that JSON has no form for")
        }
        guard bytes + key.partition.utf8.count + key.sort.utf8.count <= RecordLimits.maxBytes
        else {
            throw .invalidWrite(
                "\(key.text) is larger than \(RecordLimits.maxBytes / 1024) KB; keep its large attribute in the object store")
        }
    }
}

extension RecordKey {
    /// For error texts.
    var text: String { "\(table.name)/\(partition)/\(sort)" }
}

extension Condition {
    /// Refuses what has no meaning everywhere: an empty `or`, an empty path, a comparison with null.
    /// - Throws: ``RecordStoreError/invalidWrite(_:)``
    public func validate() throws(RecordStoreError) {
        switch self {
        case .recordExists, .recordAbsent: break
        case .exists(let path), .absent(let path), .beginsWith(let path, _): try Self.check(path)
        case .equals(let path, let right), .notEquals(let path, let right), .lessThan(let path, let right),
            .atMost(let path, let right),
            .greaterThan(let path, let right), .atLeast(let path, let right), .contains(let path, let right),
            .count(let path, _, let right):
            try Self.check(path)
            try Self.check(right)
        case .between(let path, let low, let high):
            try Self.check(path)
            try Self.check(low)
            try Self.check(high)
        case .oneOf(let path, let values):
            try Self.check(path)
            guard !values.isEmpty, values.count <= 100 else { throw .invalidWrite("a oneOf condition needs 1 to 100 values") }
            for value in values { try Self.check(.value(value)) }
        case .and(let parts): for part in parts { try part.validate() }
        case .or(let parts):
            guard !parts.isEmpty else {
                throw .invalidWrite("an empty “or” holds for nothing; leave the condition out or name a case")
            }
            for part in parts { try part.validate() }
        case .not(let part): try part.validate()
        }
    }
    private static func check(_ path: Path) throws(RecordStoreError) {
        guard case .name = path.elements.first else { throw .invalidWrite("a condition needs a path that starts with a name") }
    }
    private static func check(_ operand: Operand) throws(RecordStoreError) {
        switch operand {
        case .value(.null): throw .invalidWrite("nothing can be compared with null; use exists or absent")
        case .value: break
        case .path(let path): try check(path)
        }
    }
}

extension Value {
    /// Bytes as DynamoDB counts them, roughly; `nil` when nested too deeply or not a JSON number.
    func storedBytes(nesting: Int) -> Int? {
        switch self {
        case .null, .bool: return 1
        case .int: return 12
        case .double(let number): return number.isFinite ? 21 : nil
        case .string(let text): return text.utf8.count
        case .array(let list):
            guard nesting < RecordLimits.maxNesting else { return nil }
            var sum = 3
            for element in list {
                guard let bytes = element.storedBytes(nesting: nesting + 1) else { return nil }; sum += bytes + 1
            }
            return sum
        case .object(let members):
            guard nesting < RecordLimits.maxNesting else { return nil }
            var sum = 3
            for (name, element) in members {
                guard let bytes = element.storedBytes(nesting: nesting + 1) else { return nil };
                sum += name.utf8.count + bytes + 1
            }
            return sum
        }
    }
}

/// Where a record stands in an index.
public struct IndexEntry: Sendable, Hashable {
    public var partition: String
    /// `nil` where the index has no sort attribute: then the table's own keys order it.
    public var sort: String?
}

extension Table.Index {
    /// The record's place in this index; `nil` when an attribute is absent, empty or no string: then it is not in it.
    public func entry(for record: StoredRecord) -> IndexEntry? {
        func attribute(_ name: String) -> String? { record.document[name]?.string.flatMap { $0.isEmpty ? nil : $0 } }
        guard let partition = partition == "pk" ? record.key.partition : attribute(partition) else { return nil }
        guard let name = sort else { return IndexEntry(partition: partition, sort: nil) }
        guard let sort = attribute(name) else { return nil }
        return IndexEntry(partition: partition, sort: sort)
    }
}

extension RecordQuery.SortRange {
    /// Whether a sort key lies in the range, byte by byte.
    public func contains(_ sort: String) -> Bool {
        func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
        return switch self {
        case .all: true
        case .prefix(let prefix): sort.utf8.starts(with: prefix.utf8)
        case .between(let low, let high): !precedes(sort, low) && !precedes(high, sort)
        case .lessThan(let high): precedes(sort, high)
        case .atMost(let high): !precedes(high, sort)
        case .greaterThan(let low): precedes(low, sort)
        case .atLeast(let low): !precedes(sort, low)
        }
    }
}

extension RecordQuery {
    /// Checks a query before it is run: its filter, and that its index can be ranged over.
    public func validate() throws(RecordStoreError) {
        try filter?.validate()
        if let index, index.sort == nil, sort != .all {
            throw .invalidWrite("the index “\(index.name)” has no sort attribute to range over")
        }
    }
}

/// Where a page ended: the position of its last record. Opaque text outside of the backend, bound to table, index and partition.
public struct RecordCursor: Codable, Sendable, Hashable {
    public var table: String
    public var index: String?
    /// `nil` for a scan.
    public var partition: String?
    /// Sort value in the index (with an index that has one), then the table's own keys.
    public var indexSort: String?
    public var lastPartition: String
    public var lastSort: String

    public init(table: Table, index: Table.Index? = nil, partition: String?, last record: StoredRecord) {
        self.table = table.name
        self.index = index?.name
        self.partition = partition
        indexSort = index?.entry(for: record)?.sort
        lastPartition = record.key.partition
        lastSort = record.key.sort
    }

    public var text: String { get throws { Digest.base64URL(try JSON.encode(self)) } }

    /// Reads a cursor that this query may continue with.
    /// - Throws: ``RecordStoreError/invalidCursor`` for another query's or an altered one.
    public static func read(_ text: String, table: Table, index: Table.Index? = nil, partition: String?) throws(RecordStoreError)
        -> RecordCursor
    {
        guard let data = Digest.fromBase64URL(text), let cursor = try? JSON.decode(RecordCursor.self, from: data),
            cursor.table == table.name, cursor.index == index?.name, cursor.partition == partition,
            (cursor.indexSort != nil) == (index?.sort != nil)
        else { throw .invalidCursor }
        return cursor
    }
}
