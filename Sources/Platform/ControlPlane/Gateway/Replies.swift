import Foundation
import Platform

/// `POST /agent/v1/replies`: how an agent speaks (API.md §6.3).
///
/// Tenant, conversation, channel and reply context come from the grant and the run record, never from the agent. A final or
/// error reply is first kept in the session record, on condition that the run is the current one, and then queued: a crash
/// between the two is healed by whoever redelivers the message, from the record.
extension AgentGateway {
    enum ReplyKind: String, CaseIterable { case message, file, final, error }

    /// Limits of API.md §6.2.
    static let maxReplyBytes = 100_000
    static let maxFileBytes = 25 << 20

    struct ReplyRequest {
        struct File { var objectKey: ObjectKey; var fileName: String; var mimeType: String; var caption: String? }
        var sequence: Int
        var messageId: MessageID
        var kind: ReplyKind
        var text: String
        var file: File?
        var errorCode: FailureCode?
        var newSessionId: String?
        var numTurns: Int?
        var alsoAnswers: [MessageID]
    }

    /// Accepts one reply; idempotent by sequence.
    /// - Returns: the message id under which the reply is stored.
    public func reply(token: String?, socketSession: SessionKey?, body: Data) async throws -> MessageID {
        let grant = try verify(token: token, socketSession: socketSession, scope: .reply)
        let hash = Digest.sha256Hex(body)
        // A reply that was accepted here is answered again, also when its run is settled by now.
        if let known = runs.known(grant.invocationId), known.end.hasFired, let request = try? Self.parseReply(body),
            let answer = known.replies.answer(request.sequence, hash: hash)
        {
            return answer
        }
        let run = try await check(token: token, socketSession: socketSession, scope: .reply)
        let permit = try permit(run)
        defer { permit.end() }
        let request: ReplyRequest
        do {
            request = try Self.parseReply(body)
        } catch {
            if case .invalid(let problems) = error, problems.contains(where: { Self.identityFields.contains($0.field) }) {
                await deny(run, "replies")
            }
            throw error
        }
        if let final = run.run.final { return try await resend(final, request, run, hash: hash) }
        guard !run.live.end.hasFired else { throw GatewayError.unauthenticated }
        await touch(run)

        switch run.live.replies.begin(request.sequence, hash: hash, messageId: request.messageId) {
        case .repeated(let id): return id
        case .mismatch: throw GatewayError.sequenceMismatch
        case .wait: throw GatewayError.rateLimited(retryAfter: 1)
        case .gap(let expected): throw GatewayError.invalid("sequence", "sequence must be \(expected): sequences have no gaps.")
        case .send: break
        }
        do {
            switch request.kind {
            case .message: try await queue(payload(request, run))
            case .file: try await queue(filePayload(request, run))
            case .final, .error: try await acceptFinal(request, run)
            }
        } catch {
            run.live.replies.failed(request.sequence)
            throw error
        }
        run.live.replies.accepted(request.sequence)
        if request.kind == .final || request.kind == .error {
            await end(run.run.invocationId)
            await hooks.finalAccepted(run.key, run.run.invocationId)
        }
        return request.messageId
    }

    // MARK: - Reading

    static func parseReply(_ body: Data) throws(GatewayError) -> ReplyRequest {
        var object = try StrictJSONObject(body)
        let sequence = object.int("sequence", required: true, in: 0...1_000_000)
        let messageId = object.ulid("messageId")
        let kind = object.choice("kind", ReplyKind.allCases, required: true)
        let text = object.text("text", limit: 0...maxReplyBytes, bytes: true)
        let errorCode = object.choice("errorCode", FailureCode.allCases)
        let newSessionId = object.text("newSessionId", limit: 1...128)
        let numTurns = object.int("numTurns", in: 0...1_000_000)
        var alsoAnswers: [MessageID] = []
        if let list = object.value("alsoAnswers") {
            let ids = list.array?.compactMap(\.string) ?? []
            if let array = list.array, ids.count == array.count, ids.count <= 100, Set(ids).count == ids.count,
                ids.allSatisfy({ (1...200).contains($0.utf8.count) })
            {
                alsoAnswers = ids.map { MessageID($0) }
            } else {
                object.problem("alsoAnswers", "must be a list of at most 100 different message ids.")
            }
        }
        var file: ReplyRequest.File?
        if var inner = object.object("file") {
            let key = inner.text("objectKey", required: true)
            let name = inner.text("fileName", required: true, limit: 1...255)
            let mimeType = inner.text("mimeType", required: true, limit: 3...127)
            let caption = inner.text("caption", limit: 0...1000)
            if let name, name.contains("/") || name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) {
                inner.problem("fileName", "must not hold `/` or control characters.")
            }
            if let mimeType, !isMediaType(mimeType) { inner.problem("mimeType", "must be type/subtype.") }
            let checked = key.flatMap { try? ObjectKey(checking: $0) }
            if key != nil, checked == nil { inner.problem("objectKey", "is not an object key.") }
            object.adopt(inner, under: "file")
            if let checked, let name, let mimeType { file = .init(objectKey: checked, fileName: name, mimeType: mimeType, caption: caption) }
        }
        switch kind {
        case .message: if text?.allSatisfy(\.isWhitespace) != false { object.problem("text", "is required and must not be blank.") }
        case .file: if file == nil { object.problem("file", "is required.") }
        case .final: if text == nil { object.problem("text", "is required; it may be empty when something was sent before.") }
        case .error: if errorCode == nil { object.problem("errorCode", "is required.") }
        case nil: break
        }
        if kind != .file, file != nil { object.problem("file", "goes only with kind file.") }
        if kind != .error, errorCode != nil { object.problem("errorCode", "goes only with kind error.") }
        if kind != .final, kind != .error, !alsoAnswers.isEmpty { object.problem("alsoAnswers", "goes only with kind final.") }
        try object.finish()
        guard let sequence, let messageId, let kind else { throw .malformedJSON }
        return ReplyRequest(
            sequence: sequence, messageId: MessageID(messageId), kind: kind, text: text ?? "", file: file, errorCode: errorCode,
            newSessionId: newSessionId, numTurns: numTurns, alsoAnswers: alsoAnswers)
    }

    private static func isMediaType(_ text: String) -> Bool {
        let type = text.prefix { $0 != ";" }.split(separator: "/", omittingEmptySubsequences: false)
        return type.count == 2 && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f } && type.allSatisfy { !$0.isEmpty && !$0.contains(" ") }
    }

    // MARK: - Messages and files

    private func payload(_ request: ReplyRequest, _ run: AuthorizedRun, text: String? = nil, settles: ReplyPayload.Settles = .nothing) -> ReplyPayload
    {
        ReplyPayload(
            session: run.key, userId: run.grant.userId, at: time.now(), channelType: run.run.channelType, invocationId: run.run.invocationId,
            sequence: request.sequence, messageId: request.messageId, text: text ?? request.text, replyContext: run.run.replyContext, settles: settles
        )
    }

    private func filePayload(_ request: ReplyRequest, _ run: AuthorizedRun) async throws -> ReplyPayload {
        try await requireTool("send_file", run)
        guard let file = request.file else { throw GatewayError.malformedJSON }
        let folder = run.layout.attachments(run.grant.groupJid, request.messageId)
        guard file.objectKey.text.utf8.starts(with: folder.utf8) else {
            await deny(run, "mcp__clawbot__send_file")
            throw GatewayError.notFound
        }
        guard let info = try await objects.head(file.objectKey) else { throw GatewayError.notFound }
        guard info.size <= Self.maxFileBytes else { throw GatewayError.tooLarge(limit: Self.maxFileBytes) }
        var payload = payload(request, run)
        payload.type = .fileReply
        payload.file = .init(objectKey: file.objectKey, fileName: file.fileName, mimeType: file.mimeType, size: info.size, caption: file.caption)
        return payload
    }

    private func queue(_ payload: ReplyPayload) async throws {
        try await replies.send(
            try JSON.text(payload), group: payload.session.partition,
            deduplicationID: "\(payload.invocationId?.rawValue ?? "")#\(payload.sequence ?? 0)")
    }

    // MARK: - The last reply

    /// What the record keeps of a final or error reply. The text of an error is ours, whatever the agent wrote (SEC-113).
    private static func final(_ request: ReplyRequest, _ id: InvocationID) -> FinalReply {
        let text = request.kind == .error ? "\((request.errorCode ?? .agentFailed).sentence) (reference \(id.rawValue))" : request.text
        return FinalReply(
            sequence: request.sequence, messageId: request.messageId, text: text, errorCode: request.errorCode, newSessionId: request.newSessionId,
            numTurns: request.numTurns)
    }

    private func acceptFinal(_ request: ReplyRequest, _ run: AuthorizedRun) async throws {
        let id = run.run.invocationId
        let isBlank = request.text.allSatisfy(\.isWhitespace)
        if request.kind == .final, isBlank, run.run.taskId == nil, request.sequence == 0, !run.live.replies.hasSent {
            throw GatewayError.invalid("text", "text must not be blank on the only reply of a message.")
        }
        let answered = try await waiting(request.alsoAnswers, run)
        let final = Self.final(request, id)
        let usage = await run.live.meter.usage
        var changes: [Change] = [
            .set("run.final", .object(try DocumentCoder.encode(final))), .set("run.usage", .object(try DocumentCoder.encode(usage))),
            .set("run.lastBeat", .string(Timestamp.text(time.now()))),
        ]
        let steps = run.live.trace
        if !steps.isEmpty { changes.append(.set("run.trace", .array(try steps.map { .object(try DocumentCoder.encode($0)) }))) }
        if !answered.isEmpty { changes.append(.append("run.alsoAnswers", try answered.map { .object(try DocumentCoder.encode($0)) })) }
        do {
            try await records.update(Session.key(run.key), changes, if: Self.stillCurrent(id))
        } catch RecordStoreError.conditionFailed {
            throw GatewayError.unauthenticated
        }
        try await queue(payload(request, run, text: final.text, settles: .run(id)))
    }

    /// The same final reply once more, after it was kept: queued again, which the queue and delivery take once.
    private func resend(_ kept: FinalReply, _ request: ReplyRequest, _ run: AuthorizedRun, hash: String) async throws -> MessageID {
        if let answer = run.live.replies.answer(request.sequence, hash: hash) { return answer }
        let again = Self.final(request, run.run.invocationId)
        guard request.kind == .final || request.kind == .error, request.sequence == kept.sequence else { throw GatewayError.unauthenticated }
        guard again.messageId == kept.messageId, again.text == kept.text, again.errorCode == kept.errorCode, again.newSessionId == kept.newSessionId,
            again.numTurns == kept.numTurns
        else { throw GatewayError.sequenceMismatch }
        try await queue(payload(request, run, text: kept.text, settles: .run(run.run.invocationId)))
        await end(run.run.invocationId)
        await hooks.finalAccepted(run.key, run.run.invocationId)
        return kept.messageId
    }
}
