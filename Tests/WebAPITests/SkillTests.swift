import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Skills over the API", .paced)
struct SkillTests {
    private typealias Entry = SampleArchive.Entry

    private func upload(_ world: World, _ archive: Data, name: String = "PDF", as user: UserID = World.root, more: [String: String] = [:], key: String? = nil) async throws -> Reply {
        var body = Data()
        for (field, value) in more.merging(["name": name], uniquingKeysWith: { a, _ in a }).sorted(by: { $0.key < $1.key }) {
            body += Data("--xyz\r\nContent-Disposition: form-data; name=\"\(field)\"\r\n\r\n\(value)\r\n".utf8)
        }
        body += Data("--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\nContent-Type: application/zip\r\n\r\n".utf8) + archive + Data("\r\n--xyz--\r\n".utf8)
        var headers: HTTPFields = [.contentType: "multipart/form-data; boundary=xyz"]
        if let key { headers[HTTPField.Name("Idempotency-Key")!] = key }
        return try await world.send(.post, "/api/admin/skills/upload", as: user, body: body, headers: headers)
    }
    private func stored(_ world: World) async throws -> [String] {
        try await world.objects.list("skills/", delimiter: nil, limit: 1000, cursor: nil).entries.compactMap { if case .object(let info) = $0 { info.key.text } else { nil } }
    }

    @Test("a skill is uploaded, listed, enabled, switched off and deleted, and every change is in the audit trail")
    func life() async throws {
        let world = try await World(), bot = try await world.bot()
        let archive = SampleArchive.skill("pdf", more: [
            Entry(name: "pdf/scripts/fill.py", content: SampleArchive.block("print(1)"), deflated: (8, SampleArchive.checksum(Data("print(1)".utf8)))),
            Entry(name: "README.md", content: Data("outside".utf8)), Entry(name: "__MACOSX/pdf/._SKILL.md", content: Data([0])),
        ])
        #expect(try await upload(world, archive, as: World.alice).status == 403)
        let made = try await upload(world, archive, more: ["version": "2.1"], key: "k1")
        #expect(made.status == 201, "\(made.text)")
        let id = made.json["skillId"]?.string ?? ""
        #expect(made.headers[.location] == "/api/admin/skills/\(id)")
        #expect(made.json["directories"] == .array(["pdf"]) && made.json["files"] == .array(["pdf/SKILL.md", "pdf/scripts/fill.py"]) && made.json["fileCount"] == 2)
        #expect(made.json["description"] == "Reads and fills PDF forms." && made.json["version"] == "2.1" && made.json["source"] == "zip" && made.json["status"] == "active")
        // The same request again is the same skill.
        #expect(try await upload(world, archive, more: ["version": "2.1"], key: "k1").json["skillId"]?.string == id)
        #expect(try await stored(world) == ["skills/\(id)/pdf/SKILL.md", "skills/\(id)/pdf/scripts/fill.py"])
        #expect(try await world.objects.bytes(ObjectKey(checking: "skills/\(id)/pdf/scripts/fill.py"), limit: 100) == Data("print(1)".utf8))

        let path = "/api/bots/\(bot.botId)/skills"
        #expect(try await world.send(.get, path).items.map { $0["enabled"] } == [false])
        #expect(try await world.send(.get, path).items[0]["createdBy"] == nil)
        #expect(try await world.send(.get, "/api/bots/available-tools").json["skills"] == .array([["name": "pdf", "description": "Reads and fills PDF forms."]]))
        #expect(try await world.send(.put, path, json: "{\"skills\":[\"\(id)\"]}").json["skills"] == .array([.string(id)]))
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").json["skills"] == .array([.string(id)]))
        #expect(try await world.send(.get, "/api/bots").items[0]["skills"] == .array([.string(id)]))
        // Switched off it is hidden, and still there when it comes back.
        #expect(try await world.send(.patch, "/api/admin/skills/\(id)", as: World.root, json: #"{"status":"disabled","name":"Forms"}"#).json["name"] == "Forms")
        #expect(try await world.send(.get, path).items.isEmpty)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").json["skills"] == .array([]))
        #expect(try await world.send(.put, path, json: "{\"skills\":[\"\(id)\"]}").errorFields == ["skills[0]"])
        _ = try await world.send(.put, "/api/admin/skills/\(id)", as: World.root, json: #"{"status":"active"}"#)
        #expect(try await world.send(.get, path).items.map { $0["enabled"] } == [true])

        #expect(try await world.send(.delete, "/api/admin/skills/\(id)", as: World.root).status == 204)
        #expect(try await world.send(.delete, "/api/admin/skills/\(id)", as: World.root).status == 404)
        #expect(try await stored(world).isEmpty)
        #expect(try await world.records.get(bot.key)?.document["skills"] == .array([]))
        let platform = try await AuditTrail(records: world.records).entries(of: AuditEntry.platform, limit: 50, cursor: nil).items.map(\.action)
        #expect(platform.filter { $0.hasPrefix("skill.") }.sorted() == ["skill.create", "skill.delete", "skill.update", "skill.update"])
        #expect(try await AuditTrail(records: world.records).entries(of: World.alice.rawValue, action: "skill.enable", limit: 50, cursor: nil).items.count == 1)
        // Its directory is free again.
        #expect(try await upload(world, archive).status == 201)
    }

    @Test("SEC-94 a hostile or broken archive is refused with a sentence, and nothing of it is kept", arguments: Hostile.all)
    func SEC_94_hostile(_ hostile: Hostile) async throws {
        let world = try await World()
        let reply = try await upload(world, hostile.archive)
        #expect(reply.status == 400, "\(hostile.name): \(reply.text)")
        #expect(reply.errorFields == ["file"], "\(hostile.name): \(reply.text)")
        #expect(reply.text.contains(hostile.words), "\(hostile.name): \(reply.text)")
        #expect(try await stored(world).isEmpty)
        #expect(try await world.send(.get, "/api/admin/skills", as: World.root).items.isEmpty)
    }

    struct Hostile: CustomTestStringConvertible, Sendable {
        var name: String, words: String, archive: Data
        var testDescription: String { name }

        private static func with(_ name: String, _ words: String, _ change: (inout SampleArchive) -> Void) -> Hostile {
            var archive = SampleArchive(entries: [Entry(name: "pdf/SKILL.md", content: Data("---\nname: pdf\ndescription: d\n---\n".utf8)), Entry(name: "pdf/a", content: Data("a".utf8))])
            change(&archive)
            return Hostile(name: name, words: words, archive: archive.data)
        }
        private static func manual(_ name: String, _ words: String, _ text: Data) -> Hostile { with(name, words) { $0.entries[0].content = text } }

        static let all: [Hostile] = [
            Hostile(name: "nothing", words: "not a zip", archive: Data()),
            Hostile(name: "a text", words: "not a zip", archive: Data(String(repeating: "x", count: 5000).utf8)),
            Hostile(name: "cut short", words: "zip", archive: SampleArchive.skill("pdf").dropLast(9)),
            with("bytes behind its end", "not a zip") { $0.tail = Data([0]) },
            with("up and out", "leads elsewhere") { $0.entries[1].name = "pdf/../../etc/x" },
            with("absolute", "leads elsewhere") { $0.entries[1].name = "/etc/passwd" },
            with("backslashes", "leads elsewhere") { $0.entries[1].name = "pdf\\..\\x" },
            with("a drive", "leads elsewhere") { $0.entries[1].name = "C:/x" },
            with("a control character", "leads elsewhere") { $0.entries[1].name = "pdf/a\u{1}" },
            with("no name", "leads elsewhere") { $0.entries[1].name = "" },
            with("a link", "Links are not taken") { $0.entries[1].mode = 0o120777 },
            with("a link, then a file through it", "Links are not taken") { $0.entries[1].mode = 0o120777; $0.entries.append(Entry(name: "pdf/a/b")) },
            with("a device", "neither a file nor a folder") { $0.entries[1].mode = 0o020666 },
            with("a pipe", "neither a file nor a folder") { $0.entries[1].mode = 0o010644 },
            with("encrypted", "encrypted") { $0.entries[1].flags |= 1 },
            with("the same name twice", "twice") { $0.entries[1].name = "pdf/SKILL.md" },
            with("names that differ in case", "twice") { $0.entries[1].name = "pdf/skill.MD" },
            with("folders that differ in case", "twice") { $0.entries[1].name = "PDF/a" },
            with("a file that is a folder too", "twice") { $0.entries[1].name = "pdf/SKILL.md/a" },
            with("an entry inside another one", "overlap") { archive in
                let inner = Entry(name: "pdf/b", content: Data("b".utf8))
                archive.entries[1].content = inner.header + inner.content
                let place = archive.entries[0].header.count + archive.entries[0].content.count + archive.entries[1].header.count
                archive.entries.append(Entry(name: "pdf/b", content: Data("b".utf8), offset: place))
            },
            with("another name inside", "damaged") { $0.entries[1].innerName = "pdf/b" },
            with("a wrong checksum", "damaged") { $0.entries[1].checksum = 1 },
            with("packed 1000 times", "200 times") { $0.entries[1].content = Data(count: 5000); $0.entries[1].deflated = (5_000_000, 0) },
            with("larger inside than it says", "damaged") { $0.entries[1].content = SampleArchive.block("hello"); $0.entries[1].deflated = (3, SampleArchive.checksum(Data("hel".utf8))) },
            with("smaller inside than it says", "damaged") { $0.entries[1].content = SampleArchive.block("hello"); $0.entries[1].deflated = (9, 0) },
            with("over 50 MiB inside", "larger than 50 MiB") { archive in
                for index in 0..<6 { archive.entries.append(Entry(name: "pdf/\(index)", content: Data(count: 50_000), deflated: (9_000_000, 0))) }
            },
            with("over 500 entries", "500 entries") { archive in archive.entries += (0..<500).map { Entry(name: "pdf/\($0)") } },
            with("fewer entries than it says", "damaged") { $0.countInEnd = 3 },
            with("more entries than it says", "damaged") { $0.countInEnd = 1 },
            with("zip64", "zip64") { $0.countInEnd = 0xffff },
            with("no SKILL.md", "no SKILL.md") { $0.entries[0].name = "pdf/README.md" },
            with("a folder with another name", "lower-case") { $0.entries[0].name = "My Skill/SKILL.md" },
            with("two skills of one name", "called 'pdf'") { $0.entries[1] = Entry(name: "other/pdf/SKILL.md", content: $0.entries[0].content) },
            manual("no front matter", "no name", Data("Do it.".utf8)),
            manual("no description", "no description", Data("---\nname: pdf\n---\n".utf8)),
            manual("an empty name", "no name", Data("---\nname: \ndescription: d\n---\n".utf8)),
            manual("no text", "not UTF-8", Data([0xff, 0xfe])),
            manual("a long manual", "larger than", Data("---\nname: a\ndescription: d\n---\n".utf8) + Data(repeating: 0x61, count: 200_000)),
        ]
    }

    @Test("SEC-96 a directory names one skill of the library, also when two come at once, and what loses leaves no file")
    func SEC_96_unique() async throws {
        let world = try await World()
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 { group.addTask { try await upload(world, SampleArchive.skill("pdf")).status } }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.sorted() == [201, 409, 409, 409])
        #expect(try await stored(world).count == 1)
        #expect(try await upload(world, SampleArchive.skill("pdf", about: "Another.")).slug == "already-exists")
    }

    @Test("SEC-96 altered, added and missing files are noticed, and the skill is taken from everybody")
    func SEC_96_altered() async throws {
        let world = try await World()
        let made = try await upload(world, SampleArchive.skill("pdf"))
        let skill = try await world.api.services.skills.get(SkillID(made.json["skillId"]?.string ?? ""))
        let files = SkillFiles(objects: world.objects), manual = try ObjectKey(checking: Skill.prefix(skill.skillId) + "pdf/SKILL.md")
        #expect(try await files.isIntact(skill.skillId, digest: skill.digest))
        let extra = try ObjectKey(checking: Skill.prefix(skill.skillId) + "pdf/more")
        try await world.objects.put(extra, Data("x".utf8))
        #expect(try await !files.isIntact(skill.skillId, digest: skill.digest))
        try await world.objects.delete(extra, if: nil)
        #expect(try await files.isIntact(skill.skillId, digest: skill.digest))
        try await world.objects.put(manual, Data("other".utf8))
        #expect(try await !files.isIntact(skill.skillId, digest: skill.digest))
        try await world.objects.delete(manual, if: nil)
        #expect(try await !files.isIntact(skill.skillId, digest: skill.digest))
        try await world.api.services.skills.quarantine(skill.skillId)
        #expect(try await world.send(.get, "/api/admin/skills/\(skill.skillId)", as: World.root).json["status"] == "disabled")
        #expect(try await AuditTrail(records: world.records).entries(of: AuditEntry.platform, action: "skill.altered", limit: 5, cursor: nil).items.count == 1)
    }

    @Test("SEC-95 only public https repositories are fetched, branches follow their grammar, and a server without git says so", arguments: [
        (#"{"name":"x","url":"http://github.com/a/b"}"#, 400, "url"), (#"{"name":"x","url":"file:///etc"}"#, 400, "url"), (#"{"name":"x","url":"ext::sh -c id"}"#, 400, "url"),
        (#"{"name":"x","url":"https://127.0.0.1/a"}"#, 400, "url"), (#"{"name":"x","url":"https://169.254.169.254/a"}"#, 400, "url"), (#"{"name":"x","url":"https://u:p@github.com/a"}"#, 400, "url"),
        (#"{"name":"x","url":"https://localhost/a"}"#, 400, "url"), (#"{"name":"x","url":"https://github.com/a/b","ref":"--upload-pack=id"}"#, 400, "ref"),
        (#"{"name":"x","url":"https://github.com/a/b","path":"../x"}"#, 400, "path"), (#"{"name":"x","url":"https://1.1.1.1/a/b"}"#, 409, nil),
    ] as [(String, Int, String?)])
    func SEC_95_git(_ json: String, _ status: Int, _ field: String?) async throws {
        let world = try await World()
        let reply = try await world.send(.post, "/api/admin/skills/git", as: World.root, json: json)
        #expect(reply.status == status, "\(json): \(reply.text)")
        #expect(reply.errorFields == (field.map { [$0] } ?? []))
        if status == 409 { #expect(reply.text.contains("git is not installed")) }
    }

    @Test("a form that is none is refused: its media type, its parts, its fields, its size")
    func forms() async throws {
        let world = try await World(), path = "/api/admin/skills/upload"
        let form: HTTPFields = [.contentType: "multipart/form-data; boundary=xyz"]
        #expect(try await world.send(.post, path, as: World.root, json: "{}").slug == "unsupported-media-type")
        for text in ["", "--xyz", "--xyz\r\n\r\n", "--abc--\r\n", "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nno end"] {
            #expect(try await world.send(.post, path, as: World.root, body: Data(text.utf8), headers: form).status == 400, "\(text)")
        }
        #expect(try await world.send(.post, path, as: World.root, body: Data("--xyz--\r\n".utf8), headers: form).errorFields == ["file"])
        #expect(try await upload(world, SampleArchive.skill("pdf"), name: " ").errorFields == ["name"])
        #expect(try await upload(world, SampleArchive.skill("pdf"), more: ["nonsense": "1"]).errorFields == ["nonsense"])
        #expect(try await upload(world, Data(count: (10 << 20) + (65 << 10))).status == 413)
        #expect(try await stored(world).isEmpty)
    }

    @Test("SEC-14 another tenant's bot is not found; skills that do not exist are refused")
    func SEC_14_tenancy() async throws {
        let world = try await World(), bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)/skills"
        #expect(try await world.send(.get, path, as: World.bob).status == 404)
        #expect(try await world.send(.put, path, as: World.bob, json: #"{"skills":[]}"#).status == 404)
        #expect(try await world.send(.put, path, json: "{\"skills\":[\"\(ULID.make())\"]}").errorFields == ["skills[0]"])
        #expect(try await world.send(.put, path, json: #"{"skills":["a","a"]}"#).errorFields == ["skills"])
    }
}
