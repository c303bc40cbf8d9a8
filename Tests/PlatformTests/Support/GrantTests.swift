import Foundation
import Pace
import Platform
import Testing

@Suite("Grants", .paced)
struct GrantTests {
    static let now = Timestamp.date("2026-03-02T08:00:00Z")!
    static let keys = PlatformKeys(roots: [Data(repeating: 1, count: 32)])
    static let grant = Grant(
        userId: UserID("user"), botId: BotID("bot"), groupJid: GroupJID("tg:-1"), channelType: .telegram,
        invocationId: InvocationID("inv"), sessionEpoch: 3, scopes: [.model, .reply], issuedAt: now,
        expiresAt: now + 3600)

    @Test("a grant is what was signed, and small")
    func genuine() throws {
        let token = try Self.keys.grantSigner.sign(Self.grant)
        #expect(try Self.keys.grantSigner.verify(token, at: Self.now) == Self.grant)
        #expect(token.utf8.count < 1024)
    }

    @Test("SEC-71 every field of the payload is under the signature")
    func SEC_71_tamperedFields() throws {
        let parts = try Self.keys.grantSigner.sign(Self.grant).split(separator: ".").map(String.init)
        let document = try JSON.value(#require(Digest.fromBase64URL(parts[1])))
        let members = try #require(document.object)
        #expect(
            members.keys.sorted() == [
                "botId", "channelType", "expiresAt", "groupJid", "invocationId", "issuedAt", "memoryWritable", "scopes",
                "sessionEpoch", "userId",
            ])
        for (field, value) in members {
            var other = members
            other[field] =
                switch value {
                case .string(let text): .string(text + "0")
                case .int(let number): .int(number + 1)
                case .bool(let flag): .bool(!flag)
                case .array: .array(Grant.Scope.allCases.map { .string($0.rawValue) })
                default: .null
                }
            let forged = "v1." + Digest.base64URL(try JSON.data(.object(other))) + "." + parts[2]
            #expect(throws: GrantError.forged) { try Self.keys.grantSigner.verify(forged, at: Self.now) }
        }
    }

    @Test("SEC-71 other versions, swapped, missing and added parts, padding and twins of the spelling are refused")
    func SEC_71_shape() throws {
        let signer = Self.keys.grantSigner
        let token = try signer.sign(Self.grant), parts = token.split(separator: ".").map(String.init)
        let other = try signer.sign(
            {
                var other = Self.grant; other.botId = BotID("other"); return other
            }()
        ).split(separator: ".").map(String.init)
        // The last character of a 32-byte MAC carries two spare bits: four spellings decode alike, one is canonical.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        let twins = alphabet.map { token.dropLast() + String($0) }.filter { $0 != token }.map(String.init)
        let bad = [
            "v2." + parts[1] + "." + parts[2], parts[1] + "." + parts[2], "v1." + parts[2] + "." + parts[1],
            "v1." + other[1] + "." + parts[2], token + ".x", token + "=", " " + token, token + "\n", "v1..", "",
            "v1." + parts[1] + ".",
            "V1." + parts[1] + "." + parts[2], "v1." + parts[1] + "." + String(parts[2].dropLast(4)),
            "v1." + parts[1] + "A." + parts[2], String(repeating: "x", count: 3000),
        ]
        for token in bad + twins { #expect(throws: GrantError.self, "\(token)") { try signer.verify(token, at: Self.now) } }
    }

    @Test("SEC-72 any flipped bit is refused")
    func SEC_72_flippedBits() throws {
        let signer = Self.keys.grantSigner
        let token = Array(try signer.sign(Self.grant).utf8)
        for index in token.indices {
            for bit in 0..<7 {
                var other = token
                other[index] ^= 1 << UInt8(bit)
                #expect(throws: GrantError.self) { try signer.verify(String(decoding: other, as: UTF8.self), at: Self.now) }
            }
        }
    }

    @Test("SEC-72 the signature comes before the expiry, and the expiry is exact")
    func SEC_72_expiry() throws {
        let signer = Self.keys.grantSigner
        let token = try signer.sign(Self.grant)
        _ = try signer.verify(token, at: Self.now + 3599.999)
        #expect(throws: GrantError.expired) { try signer.verify(token, at: Self.now + 3600) }
        #expect(throws: GrantError.forged) {
            try PlatformKeys(roots: [Data(repeating: 2, count: 32)]).grantSigner.verify(token, at: Self.now + 9999)
        }
    }

    @Test("SEC-72 more than 2 KiB is not even looked at")
    func SEC_72_size() throws {
        var large = Self.grant
        large.groupJid = GroupJID("tg:" + String(repeating: "x", count: 3000))
        let token = try Self.keys.grantSigner.sign(large)
        #expect(throws: GrantError.malformed) { try Self.keys.grantSigner.verify(token, at: Self.now) }
    }

    @Test("SEC-71 two keys live at once: old grants are good after a rotation, not after a second")
    func SEC_71_rotation() throws {
        let roots = (1...3).map { Data(repeating: UInt8($0), count: 32) }
        let old = try PlatformKeys(roots: [roots[0]]).grantSigner.sign(Self.grant)
        let rotated = PlatformKeys(roots: [roots[1], roots[0]]).grantSigner
        #expect(try rotated.verify(old, at: Self.now) == Self.grant)
        let new = try rotated.sign(Self.grant)
        #expect(new != old)
        let again = PlatformKeys(roots: [roots[2], roots[1]]).grantSigner
        #expect(try again.verify(new, at: Self.now) == Self.grant)
        #expect(throws: GrantError.forged) { try again.verify(old, at: Self.now) }
    }

    @Test("SEC-13 keys of different purposes differ, and a grant signed with another purpose's key is forged")
    func SEC_13_purposes() throws {
        let purposes: [PlatformKeys.Purpose] = [.grant, .blobLink, .cursor, .runtimeSignature, .groupReference]
        let derived = purposes.map { Self.keys.keys($0)[0].withUnsafeBytes { Data($0) } }
        #expect(Set(derived).count == purposes.count)
        #expect(!derived.contains(Data(repeating: 1, count: 32)))
        for purpose in purposes where purpose != .grant {
            let token = try GrantSigner(keys: Self.keys.keys(purpose)).sign(Self.grant)
            #expect(throws: GrantError.forged) { try Self.keys.grantSigner.verify(token, at: Self.now) }
        }
    }

    @Test("the platform's keys are made once and found again")
    func loading() async throws {
        let secrets = InMemorySecretStore()
        let first = try await PlatformKeys.load(from: secrets, stage: "local")
        let token = try first.grantSigner.sign(Self.grant)
        #expect(try await PlatformKeys.load(from: secrets, stage: "local").grantSigner.verify(token, at: Self.now) == Self.grant)
        let other = try await PlatformKeys.load(from: secrets, stage: "prod")
        #expect(throws: GrantError.forged) { try other.grantSigner.verify(token, at: Self.now) }
        try await secrets.put(SecretName("local/platform-keys"), Secret("short"))
        await #expect(throws: SecretStoreError.self) { try await PlatformKeys.load(from: secrets, stage: "local") }
    }
}
