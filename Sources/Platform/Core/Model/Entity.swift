import Foundation

/// A type that is stored as one record of a table.
public protocol Entity: Codable, Sendable {
    static var table: Table { get }
    var key: RecordKey { get }
    /// When the record expires; nil = never.
    var recordExpiry: Date? { get }
}

extension Entity {
    public var recordExpiry: Date? { nil }

    /// The attributes as stored. Encoding a plain value type cannot fail; where it does the type is wrong.
    public func document() throws -> Document { try DocumentCoder.encode(self) }
    public init(record: StoredRecord) throws { self = try DocumentCoder.decode(Self.self, from: record.document) }

    /// A write that replaces the record with this value.
    public func putting(if condition: Condition? = nil) throws -> RecordWrite {
        .put(key, try document(), expiresAt: recordExpiry, if: condition)
    }
}

extension RecordStore {
    public func get<E: Entity>(_ type: E.Type, _ key: RecordKey) async throws -> E? { try await get(key).map(E.init(record:)) }
    public func put(_ entity: some Entity, if condition: Condition? = nil) async throws {
        try await write(entity.putting(if: condition), returning: .nothing)
    }
    public func query<E: Entity>(_ type: E.Type, _ query: RecordQuery) async throws -> (items: [E], cursor: String?) {
        let page = try await self.query(query)
        return (try page.records.map(E.init(record:)), page.cursor)
    }
    /// Every match of a query, page after page: only for partitions that are small by design.
    public func all<E: Entity>(_ type: E.Type, _ query: RecordQuery) async throws -> [E] {
        var query = query, items: [E] = []
        repeat {
            let page = try await self.query(E.self, query)
            items += page.items
            query.cursor = page.cursor
        } while query.cursor != nil
        return items
    }
}
