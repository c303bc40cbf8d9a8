import Foundation

/// Documents by partition and sort key in named tables: DynamoDB's useful subset, small enough to be exact on SQL.
///
/// Reads by key and partition see every earlier write; an index may lag, so what is decided from one is re-checked
/// by a condition. An expired record is never returned and counts as absent in conditions, swept or not.
public protocol RecordStore: Sendable {
    func get(_ key: RecordKey) async throws -> StoredRecord?
    /// Any number of keys; absent ones are missing in the answer, repeated ones are read once.
    func batchGet(_ keys: [RecordKey]) async throws -> [RecordKey: StoredRecord]
    /// Carries out one write. Returns the record before or after it, as asked; `nil` when there was (is) none.
    /// - Throws: ``RecordStoreError/conditionFailed(index:current:)`` with index 0.
    @discardableResult
    func write(_ write: RecordWrite, returning: ReturnedRecord) async throws -> StoredRecord?
    /// All or nothing, at most 25 writes, each record once. `token` makes a repeat of the same call within ten
    /// minutes harmless where the backend knows such tokens; conditions must make it harmless anyway.
    func transact(_ writes: [RecordWrite], token: String?) async throws
    func query(_ query: RecordQuery) async throws -> RecordPage
    /// Every live record of a table, page by page: for moving and purging data only.
    func scan(_ table: Table, limit: Int, cursor: String?) async throws -> RecordPage
    /// Creates or checks the declared tables; repeatable.
    func prepare(_ tables: [Table]) async throws
    /// A cheap round trip for readiness checks.
    func probe() async throws
}

/// Names one record.
public struct RecordKey: Hashable, Sendable {
    public let table: Table
    public let partition: String
    public let sort: String
    public init(_ table: Table, _ partition: String, _ sort: String) { self.table = table; self.partition = partition; self.sort = sort }
}

/// A record as read: its key, attributes and expiry (whole seconds).
public struct StoredRecord: Sendable, Hashable {
    public var key: RecordKey
    public var document: Document
    public var expiresAt: Date?
    public init(key: RecordKey, document: Document, expiresAt: Date? = nil) { self.key = key; self.document = document; self.expiresAt = expiresAt }
}

public enum ReturnedRecord: Sendable { case nothing, before, after }

/// One write, alone or in a transaction.
public enum RecordWrite: Sendable {
    /// Writes the whole record. Without `if` it replaces what is there.
    case put(RecordKey, Document, expiresAt: Date? = nil, if: Condition? = nil)
    /// Changes a record in place. An absent record fails the update unless `orCreate`.
    /// `expiresAt` sets a new expiry; `nil` leaves the old one.
    case update(RecordKey, [Change], orCreate: Bool = false, expiresAt: Date? = nil, if: Condition? = nil)
    /// Deletes; an absent record is fine unless the condition says otherwise.
    case delete(RecordKey, if: Condition? = nil)
    /// Only in transactions: writes nothing, fails it when the condition does not hold.
    case check(RecordKey, if: Condition)

    public var key: RecordKey {
        switch self {
        case .put(let key, _, _, _), .update(let key, _, _, _, _), .delete(let key, _), .check(let key, _): key
        }
    }
}

/// A place in a document: `run.invocationId`, `slots["a.b"]`, `files[3]`.
public struct Path: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    public enum Element: Hashable, Sendable { case name(String), index(Int) }
    public var elements: [Element]
    /// Dots separate names; `[n]` indexes a list. Names that hold dots: use ``appending(_:)``.
    public init(stringLiteral text: String) { self.init(text) }
    public init(_ text: String) {
        elements = text.split(separator: ".").flatMap { part -> [Element] in
            let pieces = part.split(separator: "[")
            return [.name(String(pieces[0]))] + pieces.dropFirst().compactMap { Int($0.dropLast()).map(Element.index) }
        }
    }
    public init(elements: [Element]) { self.elements = elements }
    public func appending(_ name: String) -> Path { Path(elements: elements + [.name(name)]) }
    public var description: String {
        elements.reduce(into: "") { text, element in
            switch element {
            case .name(let name): text += text.isEmpty ? name : ".\(name)"
            case .index(let index): text += "[\(index)]"
            }
        }
    }
}

/// One change of an update. Paths of one update must not overlap. Semantics: AWS.md §3.6.
public enum Change: Sendable, Hashable {
    /// Sets; a nested path needs its parent map, else the update fails with ``RecordStoreError/invalidWrite(_:)``.
    case set(Path, Value)
    /// Sets only where the path is absent.
    case setIfAbsent(Path, Value)
    /// Adds to a number, absent counting as 0.
    case add(Path, Int)
    /// Appends to a list, absent counting as empty.
    case append(Path, [Value])
    /// Removes; absent is fine.
    case remove(Path)
}

/// The right side of a comparison: a value, or another place in the same record.
public enum Operand: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    case value(Value)
    case path(Path)
    public init(stringLiteral value: String) { self = .value(.string(value)) }
    public init(integerLiteral value: Int) { self = .value(.int(value)) }
    public init(booleanLiteral value: Bool) { self = .value(.bool(value)) }
}

/// A condition over one record. Exact meanings in AWS.md §3.6; ``Condition/holds(in:)`` is the reference.
public indirect enum Condition: Sendable, Hashable {
    /// The record itself exists / does not exist (expired counts as absent).
    case recordExists, recordAbsent
    case exists(Path), absent(Path)
    case equals(Path, Operand)
    /// Absent counts as different.
    case notEquals(Path, Operand)
    case lessThan(Path, Operand), atMost(Path, Operand), greaterThan(Path, Operand), atLeast(Path, Operand)
    /// Both ends included.
    case between(Path, Operand, Operand)
    case oneOf(Path, [Value])
    case beginsWith(Path, String)
    /// Substring of a string, or element of a list.
    case contains(Path, Operand)
    /// `count(p, .lessThan, 5)`: bytes of a string, elements of a list or map.
    case count(Path, Comparison, Operand)
    case and([Condition]), or([Condition]), not(Condition)

    public enum Comparison: Sendable, Hashable { case equals, lessThan, atMost, greaterThan, atLeast }
}

/// A page of one partition of a table or index, in sort-key order.
public struct RecordQuery: Sendable {
    public enum SortRange: Sendable, Hashable {
        case all
        case prefix(String)
        /// Both ends included.
        case between(String, String)
        case lessThan(String), atMost(String), greaterThan(String), atLeast(String)
    }
    public var table: Table
    /// `nil` = the table itself.
    public var index: Table.Index?
    public var partition: String
    public var sort: SortRange
    public var filter: Condition?
    public var descending: Bool
    /// How many matches at most; a filtered page may hold fewer and still carry a cursor.
    public var limit: Int
    public var cursor: String?

    public init(
        _ table: Table, index: Table.Index? = nil, partition: String, sort: SortRange = .all, filter: Condition? = nil,
        descending: Bool = false, limit: Int = 50, cursor: String? = nil
    ) {
        self.table = table; self.index = index; self.partition = partition; self.sort = sort; self.filter = filter
        self.descending = descending; self.limit = limit; self.cursor = cursor
    }
}

public struct RecordPage: Sendable {
    public var records: [StoredRecord]
    /// Opaque, valid over restarts; absent on the last page.
    public var cursor: String?
    public init(records: [StoredRecord], cursor: String?) { self.records = records; self.cursor = cursor }
}

public enum RecordStoreError: Error, Sendable {
    /// The condition of write number `index` did not hold; `current` is that record as it is (nil = absent).
    case conditionFailed(index: Int, current: StoredRecord?)
    /// A write that can never succeed: over 380 KB, overlapping paths, missing parent map, a repeated record, over 25 writes.
    case invalidWrite(String)
    case invalidCursor
    /// The store could not be reached or is full; the caller may retry.
    case unavailable(String)
}

extension RecordStore {
    public func put(_ key: RecordKey, _ document: Document, expiresAt: Date? = nil, if condition: Condition? = nil) async throws {
        try await write(.put(key, document, expiresAt: expiresAt, if: condition), returning: .nothing)
    }
    /// Returns the record after the update.
    @discardableResult
    public func update(_ key: RecordKey, _ changes: [Change], orCreate: Bool = false, expiresAt: Date? = nil, if condition: Condition? = nil)
        async throws -> StoredRecord
    {
        guard let after = try await write(.update(key, changes, orCreate: orCreate, expiresAt: expiresAt, if: condition), returning: .after)
        else { throw RecordStoreError.unavailable("the store returned no record after an update") }
        return after
    }
    public func delete(_ key: RecordKey, if condition: Condition? = nil) async throws {
        try await write(.delete(key, if: condition), returning: .nothing)
    }
    public func transact(_ writes: [RecordWrite]) async throws { try await transact(writes, token: nil) }
}
