import Foundation
import Pace
import Platform
import Testing

@Suite("Identifiers", .paced)
struct IdentifierTests {
    @Test("ULIDs are well-formed, different and sort by time")
    func ulid() {
        let made = (0..<1000).map { ULID.make(at: Date(timeIntervalSince1970: 1_760_000_000 + Double($0))) }
        #expect(made.allSatisfy(ULID.isWellFormed))
        #expect(Set(made).count == 1000)
        #expect(made == made.sorted())
        #expect(Set((0..<10_000).map { _ in ULID.make(at: Date(timeIntervalSince1970: 0)) }).count == 10_000)
        // The example of the specification: https://github.com/ulid/spec
        #expect(ULID.make(at: Date(timeIntervalSince1970: 1_469_918_176.385)).hasPrefix("01ARYZ6S41"))
    }

    @Test("a ULID of given bytes is the same every time, every bit counts")
    func entropy() {
        let time = Date(timeIntervalSince1970: 1_760_000_000)
        let bytes = [UInt8](0..<10)
        #expect(ULID.make(at: time, entropy: bytes) == ULID.make(at: time, entropy: bytes + [99]))
        var seen = Set([ULID.make(at: time, entropy: bytes)])
        for bit in 0..<80 {
            var other = bytes
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(seen.insert(ULID.make(at: time, entropy: other)).inserted)
        }
        #expect(ULID.make(at: time, entropy: [UInt8](repeating: 255, count: 10)).hasSuffix("ZZZZZZZZZZZZZZZZ"))
    }

    @Test(
        "what is no ULID",
        arguments: [
            "", "01ARYZ6S41TSV4RRFFQ69G5FA", "01ARYZ6S41TSV4RRFFQ69G5FAVX", "81ARYZ6S41TSV4RRFFQ69G5FAV",
            "01ARYZ6S41TSV4RRFFQ69G5FAI", "01aryz6s41tsv4rrffq69g5fav", "../../../../../../../../../",
        ])
    func notULID(_ text: String) { #expect(!ULID.isWellFormed(text)) }

    @Test(
        "group ids follow the grammar",
        arguments: [
            "tg:-100123", "dc:1", "sl:C1/1690.2", "wa:49123", "feishu#oc_1#x", "dt:cid+/=", "web:main",
            "tg:" + String(repeating: "x", count: 180),
        ])
    func goodGroups(_ text: String) { #expect(GroupJID(text).isWellFormed) }
    @Test(
        "SEC-33 group ids outside of the grammar are known",
        arguments: [
            "", "tg:", "xx:1", "tg:a b", "tg:a\nb", "tg:%2e", "tg:é", "tg:\u{7f}", "tg:" + String(repeating: "x", count: 181),
            "TG:1", "../tg:1",
        ])
    func badGroups(_ text: String) { #expect(!GroupJID(text).isWellFormed) }

    @Test("SEC-33 a group id becomes one key segment: injective, never a dot name, always a legal file name")
    func SEC_33_segments() throws {
        var inputs = [
            "tg:-100123", "tg:-100_123", "feishu#oc_1", "feishu%23oc_1", "sl:C1/1690.2", "sl:C1%2F1690.2", ".", "..", "...",
            "%2e", "%2E", "a", "A", "", "h-" + String(repeating: "0", count: 64), "dt:cid+/==",
        ]
        // Over all printable ASCII bytes, each alone and doubled, and at every length up to the limit.
        for byte in UInt8(0x21)...0x7e {
            inputs += [String(UnicodeScalar(byte)), "tg:" + String(repeating: Character(UnicodeScalar(byte)), count: 180)]
        }
        for length in 1...180 {
            inputs += ["tg:" + String(repeating: "-", count: length), "dt:" + String(repeating: "/", count: length)]
        }
        inputs = Array(Set(inputs))
        let segments = inputs.map(ObjectKey.segment)
        #expect(Set(segments).count == inputs.count, "injective")
        let folder = FileManager.default.temporaryDirectory.appending(path: "segments-\(ULID.make())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (input, segment) in zip(inputs, segments) where !input.isEmpty {
            #expect(segment.utf8.count <= 200 && segment != "." && segment != ".." && !segment.contains("/"), "\(input)")
            #expect(
                segment.utf8.allSatisfy { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-%".utf8.contains($0) })
            #expect(ObjectKey.isWellFormed(segment))
            try Data(input.utf8).write(to: folder.appending(path: segment, directoryHint: .notDirectory))
        }
        for (input, segment) in zip(inputs, segments) where !input.isEmpty {
            #expect(try Data(contentsOf: folder.appending(path: segment, directoryHint: .notDirectory)) == Data(input.utf8))
        }
        #expect(GroupJID("tg:-100").keySegment == "tg%3A-100")
        #expect(GroupJID("feishu#oc_1").keySegment == "feishu%23oc_1")
    }

    @Test("a conversation's partition key splits at its first #")
    func sessionKey() {
        let key = SessionKey(botId: BotID("01B"), groupJid: GroupJID("feishu#oc#1"))
        #expect(key.partition == "01B#feishu#oc#1")
        #expect(SessionKey(partition: key.partition) == key)
        #expect(SessionKey(partition: "none") == nil)
    }
}
