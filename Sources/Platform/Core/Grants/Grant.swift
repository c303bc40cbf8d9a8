import Crypto
import Foundation

/// What an agent holds: a short-lived signed word naming one user, one bot, one conversation and one invocation.
/// Wire form: `v1.<base64url(payload)>.<base64url(HMAC-SHA256)>`, at most 2 KiB.
public struct Grant: Codable, Sendable, Hashable {
    public enum Scope: String, Codable, Sendable, CaseIterable { case model, reply, tasks, history, objects, proxy, egress }

    public var userId: UserID
    public var botId: BotID
    public var groupJid: GroupJID
    public var channelType: ChannelType
    public var invocationId: InvocationID
    public var sessionEpoch: Int
    public var scopes: Set<Scope>
    public var issuedAt: Date
    public var expiresAt: Date
    /// Bot memory and learnings may be written through the gateway (SEC-118).
    public var memoryWritable: Bool

    public init(
        userId: UserID, botId: BotID, groupJid: GroupJID, channelType: ChannelType, invocationId: InvocationID, sessionEpoch: Int,
        scopes: Set<Scope> = Set(Scope.allCases), issuedAt: Date, expiresAt: Date, memoryWritable: Bool = true
    ) {
        self.userId = userId; self.botId = botId; self.groupJid = groupJid; self.channelType = channelType
        self.invocationId = invocationId; self.sessionEpoch = sessionEpoch; self.scopes = scopes
        self.issuedAt = issuedAt; self.expiresAt = expiresAt; self.memoryWritable = memoryWritable
    }
    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }
}

public enum GrantError: Error, Sendable { case malformed, forged, expired }

/// Signs and checks grants. The first key signs, all keys verify, so that a rotation kills no running agent.
public struct GrantSigner: Sendable {
    private let keys: [SymmetricKey]
    /// - Parameter keys: one or two purpose-derived keys (`PlatformKeys`), newest first.
    public init(keys: [SymmetricKey]) {
        precondition(!keys.isEmpty, "a grant signer needs a key")
        self.keys = keys
    }

    public func sign(_ grant: Grant) throws -> String {
        let head = "v1." + Digest.base64URL(try JSON.encode(grant))
        return head + "." + Digest.base64URL(HMAC<SHA256>.authenticationCode(for: Data(head.utf8), using: keys[0]))
    }

    /// MAC first, in constant time, then expiry. That the invocation still lives is for the gateway to check.
    public func verify(_ token: String, at now: Date) throws(GrantError) -> Grant {
        guard token.utf8.count <= 2048 else { throw .malformed }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "v1", let payload = Digest.fromBase64URL(parts[1]), let mac = Digest.fromBase64URL(parts[2]), mac.count == 32
        else { throw .malformed }
        let head = Data("v1.\(parts[1])".utf8)
        let genuine = keys.reduce(false) { found, key in HMAC<SHA256>.isValidAuthenticationCode(mac, authenticating: head, using: key) || found }
        // The canonical spelling only: otherwise two texts would be one grant.
        guard genuine, Digest.base64URL(mac) == parts[2] else { throw .forged }
        guard let grant = try? JSON.decode(Grant.self, from: payload) else { throw .malformed }
        guard now < grant.expiresAt else { throw .expired }
        return grant
    }
}
