import Foundation
import Pace
import Platform
import Testing

@Suite("Documents from types and back", .paced)
struct DocumentCoderTests {
    static let now = Timestamp.date("2026-01-31T08:15:30.123Z")!

    struct Everything: Codable, Hashable {
        enum Shape: Codable, Hashable { case point, circle(radius: Double), label(String, Int), nested([Shape]) }
        struct Inner: Codable, Hashable { var list: [Int?]; var map: [String: [String]]; var empty: [String: Int] = [:] }
        class Base: Codable { var base = 1; init() {} }
        var text = "é\u{0}", flag = true, count = Int.min, small: UInt8 = 255, fraction = 1.5, float: Float = 0.25,
            big = UInt64(Int.max)
        var date = now, dates = [now, now + 1], maybe: Date?, data = Data([0, 255]), url = URL(string: "https://e.x/a?b=c")!
        var bot = BotID("b"), key: ObjectKey, optionalKey: ObjectKey?, shape = Shape.circle(radius: 2),
            shapes: [Shape] = [.point, .label("x", 3), .nested([.point, .circle(radius: 0.5)])]
        var value: Value = .object(["x": .array([.null, .double(2), 1])]), values: [Value] = [1, "a", .null], maybeValue: Value?,
            document: Document = ["k": .object(["n": .null])]
        var inner = Inner(list: [1, nil, 3], map: ["a.b": ["x"], "": []]), byID: [BotID: Int] = [BotID("z"): 1],
            byType: [ChannelType: Int] = [.telegram: 2]
        var set: Set<Grant.Scope> = [.model, .reply], optionalList: [String]?,
            session = SessionKey(botId: BotID("b"), groupJid: GroupJID("web:main"))
        init() throws { key = try ObjectKey(checking: "a/b") }
    }

    @Test("every kind of field comes back")
    func everything() throws {
        let value = try Everything()
        let document = try DocumentCoder.encode(value)
        #expect(try DocumentCoder.decode(Everything.self, from: document) == value)
        #expect(document["date"] == "2026-01-31T08:15:30.123Z")
        #expect(document["maybe"] == nil && document["optionalKey"] == nil && document["optionalList"] == nil)
        #expect(document["inner"]?["list"] == .array([1, .null, 3]))
        #expect(document["inner"]?["empty"] == .object([:]))
        #expect(document["value"] == .object(["x": .array([.null, .double(2), 1])]))
        #expect(document["bot"] == "b" && document["key"] == "a/b")
        #expect(try JSON.decode(Everything.self, from: JSON.encode(value)) == value)
    }

    @Test("the form is Foundation's: what it wrote is read, and what is written it reads")
    func agreesWithFoundation() throws {
        struct Plain: Codable, Equatable {
            var shape: [Everything.Shape]; var inner: Everything.Inner; var map: [Int: String]; var session: SessionKey;
            var opt: Int?; var url: URL; var data: Data; var nested: [[Bool]]
        }
        let value = Plain(
            shape: [.label("a", 1), .nested([.point])], inner: .init(list: [nil], map: [:]), map: [3: "x"],
            session: SessionKey(botId: BotID("b"), groupJid: GroupJID("g")), opt: nil,
            url: URL(string: "http://a/")!, data: Data("xyz".utf8), nested: [[true], []])
        #expect(try JSON.value(JSONEncoder().encode(value)) == JSON.value(JSON.encode(value)))
        #expect(try JSONDecoder().decode(Plain.self, from: JSON.encode(value)) == value)
        #expect(try JSON.decode(Plain.self, from: JSONEncoder().encode(value)) == value)
    }

    @Test("inheritance and super encoders work")
    func inheritance() throws {
        class Base: Codable { var a = 1; init() {} }
        final class Derived: Base {
            var b = 2
            override init() { super.init() }
            enum Keys: CodingKey { case b }
            required init(from decoder: any Decoder) throws {
                let box = try decoder.container(keyedBy: Keys.self)
                b = try box.decode(Int.self, forKey: .b)
                try super.init(from: box.superDecoder())
            }
            override func encode(to encoder: any Encoder) throws {
                var box = encoder.container(keyedBy: Keys.self)
                try box.encode(b, forKey: .b)
                try super.encode(to: box.superEncoder())
            }
        }
        let derived = Derived()
        derived.a = 7
        let document = try DocumentCoder.encode(derived)
        #expect(document == ["b": 2, "super": .object(["a": 7])])
        #expect(try DocumentCoder.decode(Derived.self, from: document).a == 7)
    }

    @Test("entities keep their stored form")
    func entities() throws {
        var user = User(userId: UserID("u"), email: "A@B.c", at: Self.now)
        user.slots["h1"] = .init(expiresAt: Self.now, reserved: 100, month: "2026-01")
        let document = try user.document()
        #expect(document["slots"]?["h1"]?["expiresAt"] == "2026-01-31T08:15:30.123Z")
        #expect(document["lastLogin"] == nil)
        #expect(try User(record: StoredRecord(key: user.key, document: document)).slots["h1"]?.reserved == 100)
        let reply = ReplyPayload(
            session: SessionKey(botId: BotID("b"), groupJid: GroupJID("g")), userId: UserID("u"), at: Self.now, channelType: .web,
            messageId: MessageID("m"), text: "x", replyContext: .object(["a": 1]),
            settles: .run(InvocationID("i")))
        let again = try JSON.decode(ReplyPayload.self, from: JSON.text(reply))
        guard case .run(InvocationID("i")) = again.settles else { Issue.record("settles changed: \(again.settles)"); return }
        #expect(again.replyContext == .object(["a": 1]))
        #expect(again.timestamp == Self.now)
    }

    @Test(
        "what is missing, of another type or out of range is a decoding error with its path",
        arguments: [
            (["a": 1] as Document, "b"), (["a": 1, "b": 5], "b"), (["a": "x", "b": "x"], "a"),
            (["a": .double(1.5), "b": "x"], "a"), (["a": 300, "b": "x"], "a"), (["a": .null, "b": "x"], "a"),
            (["a": 1, "b": "x", "d": "2026-02-30T00:00:00Z"], "d"),
            (["a": 1, "b": "x", "l": .array([.object(["n": "no"])])], "l.Index 0.n"),
        ])
    func errors(_ document: Document, _ path: String) throws {
        struct Item: Codable { var n: Int }
        struct Target: Codable { var a: UInt8; var b: String; var d: Date?; var l: [Item]? }
        let error = #expect(throws: DecodingError.self) { try DocumentCoder.decode(Target.self, from: document) }
        let seen: [any CodingKey] =
            switch error {
            case .keyNotFound(let key, let context): context.codingPath + [key]
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context): context.codingPath
            default: []
            }
        #expect(seen.map(\.stringValue).joined(separator: ".") == path)
    }

    @Test("whole fractions are integers, integers are fractions")
    func numbers() throws {
        struct Numbers: Codable, Equatable { var i: Int; var d: Double }
        #expect(try DocumentCoder.decode(Numbers.self, from: ["i": .double(3), "d": 4]) == Numbers(i: 3, d: 4))
    }

    @Test("what a record cannot hold is refused")
    func refusals() {
        struct Big: Codable { var n = UInt64.max }
        struct NaN: Codable { var n = Double.nan }
        #expect(throws: EncodingError.self) { try DocumentCoder.encode(Big()) }
        #expect(throws: EncodingError.self) { try DocumentCoder.encode(NaN()) }
        #expect(throws: EncodingError.self) { try DocumentCoder.encode([1, 2]) }
        #expect(throws: EncodingError.self) { try DocumentCoder.encode("text") }
    }
}
