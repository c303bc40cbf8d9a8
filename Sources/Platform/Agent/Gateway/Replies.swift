import Foundation
import Platform

/// Body of `POST /agent/v1/replies`. Its sequence is set by ``ReplyOutbox``.
public struct AgentReply: Encodable, Sendable {
    public enum Kind: String, Encodable, Sendable { case message, file, final, error }
    public struct File: Encodable, Sendable {
        public var objectKey: ObjectKey
        public var fileName: String
        public var mimeType: String
        public var caption: String?
    }
    var sequence = 0
    public var messageId: MessageID
    public var kind: Kind
    public var text: String?
    public var file: File?
    public var errorCode: FailureCode?
    public var newSessionId: String?
    public var numTurns: Int?
    public var alsoAnswers: [MessageID]?

    public init(messageId: MessageID = MessageID(ULID.make()), kind: Kind, text: String? = nil, file: File? = nil) {
        self.messageId = messageId; self.kind = kind; self.text = text; self.file = file
    }
}

extension GatewayClient {
    /// Posts one reply; the gateway knows it by (invocation, sequence), so that a repeated post is the same post.
    func post(_ reply: AgentReply) async throws {
        _ = try await call(.POST, "/replies", body: JSON.encode(reply))
    }
}

/// The replies of one run in their order: sequences are gapless from 0, whoever posts, and a number is used up only once accepted.
public actor ReplyOutbox {
    private let client: GatewayClient
    private var next = 0
    private var posting = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    /// How many messages and files this run has sent.
    public private(set) var sent = 0

    private let isShared: Bool

    /// - Parameter isShared: another process of the same run posts too; a number that it has used is passed over.
    public init(client: GatewayClient, isShared: Bool = false) { self.client = client; self.isShared = isShared }

    public func post(_ reply: AgentReply, until deadline: Date? = nil) async throws {
        await acquire()
        defer { release() }
        try Task.checkCancellation()
        var reply = reply
        let client = deadline.map(client.until) ?? client
        while true {
            reply.sequence = next
            do {
                try await client.post(reply)
                break
            } catch GatewayError.refused(_, "idempotency-mismatch", _) where isShared {
                next += 1
            }
        }
        next += 1
        if reply.kind == .message || reply.kind == .file { sent += 1 }
    }

    private func acquire() async {
        if !posting { posting = true; return }
        await withCheckedContinuation { waiting.append($0) }
    }
    private func release() {
        if waiting.isEmpty { posting = false } else { waiting.removeFirst().resume() }
    }
}
