import Foundation
import Pace
import Platform
import Testing

// The meanings of conditions and changes are the conformance suite's tables; here is what a backend's author relies on besides.
@Suite("Writes as pure functions", .paced)
struct RecordWriteTests {
    static let now = Date(timeIntervalSince1970: 1_760_000_000)
    static let table = Table("t", expires: true)
    static let key = RecordKey(table, "p", "s")

    @Test("every kind of write gives its outcome")
    func outcomes() throws {
        let record = StoredRecord(key: Self.key, document: ["n": 1], expiresAt: Self.now + 10)
        #expect(
            try RecordWrite.put(Self.key, ["a": 1]).apply(to: record, at: Self.now)
                == .store(StoredRecord(key: Self.key, document: ["a": 1])))
        #expect(
            try RecordWrite.update(Self.key, [.add("n", 1)]).apply(to: record, at: Self.now)
                == .store(StoredRecord(key: Self.key, document: ["n": 2], expiresAt: Self.now + 10)))
        #expect(try RecordWrite.delete(Self.key).apply(to: record, at: Self.now) == .delete)
        #expect(try RecordWrite.delete(Self.key).apply(to: nil, at: Self.now) == .nothing)
        #expect(try RecordWrite.check(Self.key, if: .equals("n", 1)).apply(to: record, at: Self.now) == .nothing)
    }

    @Test("an expired record is none: at the instant of its expiry, not before")
    func expiry() throws {
        let record = StoredRecord(key: Self.key, document: ["n": 1], expiresAt: Self.now + 10)
        _ = try RecordWrite.check(Self.key, if: .recordExists).apply(to: record, at: Self.now + 9.999)
        _ = try RecordWrite.check(Self.key, if: .recordAbsent).apply(to: record, at: Self.now + 10)
        #expect(
            try RecordWrite.update(Self.key, [], orCreate: true).apply(to: record, at: Self.now + 10).after
                == StoredRecord(key: Self.key, document: [:]))
    }

    @Test("expiries are whole seconds, rounded up")
    func wholeSeconds() throws {
        #expect(
            try RecordWrite.put(Self.key, [:], expiresAt: Self.now + 0.25).apply(to: nil, at: Self.now).after?.expiresAt == Self
                .now + 1)
    }

    @Test("a failed condition names its write and carries the live record only")
    func failure() throws {
        let record = StoredRecord(key: Self.key, document: ["n": 1], expiresAt: Self.now)
        do {
            _ = try RecordWrite.check(Self.key, if: .recordExists).apply(to: record, at: Self.now, index: 4)
            Issue.record("no error")
        } catch {
            guard case .conditionFailed(index: 4, current: nil) = error else { Issue.record("\(error)"); return }
        }
    }

    @Test("an expiry in a table without expiry is refused")
    func tableWithoutExpiry() {
        #expect(throws: RecordStoreError.self) {
            try RecordWrite.validate([.put(RecordKey(Table("x"), "p", "s"), [:], expiresAt: Self.now)])
        }
    }

    @Test("nothing is the same as null, and texts are compared by bytes")
    func nullAndBytes() {
        #expect(!Condition.equals("a", .path("b")).holds(in: ["a": .null, "b": .null]))
        #expect(Condition.notEquals("a", .path("b")).holds(in: ["a": .null, "b": .null]))
        #expect(!Condition.equals("a", "e\u{301}").holds(in: ["a": "é"]))
        #expect(!Condition.contains("a", "\u{301}").holds(in: ["a": "é"]))
        #expect(!Condition.oneOf("a", []).holds(in: ["a": 1]))
    }

    @Test("integers and fractions are compared exactly where a double is too coarse")
    func exactNumbers() {
        #expect(!Condition.equals("a", .value(.double(9_007_199_254_740_992))).holds(in: ["a": 9_007_199_254_740_993]))
        #expect(Condition.greaterThan("a", .value(.double(9_007_199_254_740_992))).holds(in: ["a": 9_007_199_254_740_993]))
        #expect(Condition.lessThan("a", .value(.double(9.3e18))).holds(in: ["a": .int(.max)]))
        #expect(Condition.greaterThan("a", .value(.double(-9.3e18))).holds(in: ["a": .int(.min)]))
        #expect(Condition.lessThan("a", -1).holds(in: ["a": .double(-1.5)]))
        #expect(Condition.greaterThan("a", .value(.double(-1.5))).holds(in: ["a": -1]))
    }

    @Test("cursors belong to their query")
    func cursors() throws {
        let index = Table.Index("i", partition: "state", sort: "at")
        let record = StoredRecord(key: Self.key, document: ["state": "x", "at": "1"])
        let text = try RecordCursor(table: Self.table, index: index, partition: "x", last: record).text
        #expect(try RecordCursor.read(text, table: Self.table, index: index, partition: "x").indexSort == "1")
        #expect(throws: RecordStoreError.self) { try RecordCursor.read(text, table: Self.table, index: index, partition: "y") }
        #expect(throws: RecordStoreError.self) { try RecordCursor.read(text, table: Self.table, partition: "x") }
        #expect(throws: RecordStoreError.self) {
            try RecordCursor.read(text + "A", table: Table("u"), index: index, partition: "x")
        }
    }

    @Test("paths are read and written alike", arguments: ["a", "a.b.c", "a[3]", "a.b[0][1].c"])
    func paths(_ text: String) { #expect(Path(text).description == text) }

    @Test("changes do not copy what they leave alone")
    func speed() throws {
        // 20,000 entries × 2,000 updates would take minutes if each copied or hashed the map anew.
        var document: Document = ["m": .object(Dictionary(uniqueKeysWithValues: (0..<20_000).map { ("k\($0)", Value.int($0)) }))]
        let took = try ContinuousClock().measure {
            for number in 0..<200 { document = try document.applying([.set(Path("m").appending("k\(number)"), 0)]) }
        }
        #expect(took < .seconds(10), "\(took)")
    }
}
