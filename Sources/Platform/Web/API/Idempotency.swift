import Foundation
import HTTPTypes
import Platform

/// `Idempotency-Key` (API.md §1.6): the first request with a key runs, later ones with the same body get its stored answer.
struct Idempotency: Sendable {
    private let records: any RecordStore
    private let time: any TimeSource
    /// An original that has not answered by then is taken for dead.
    private static let patience = 60.0
    private static let retention = 86_400.0

    init(records: any RecordStore, time: any TimeSource) { self.records = records; self.time = time }

    func run(_ call: Call, _ key: String, showOnce: Set<String>, _ work: @Sendable () async throws -> Answer) async throws -> Answer {
        guard (1...128).contains(key.utf8.count), Characters.all(key, Characters.isWord) else {
            throw Problem.invalid("header.idempotency-key", "1 to 128 letters, digits, _ or -.")
        }
        let user = try call.user
        let record = RecordKey(
            Tables.idempotency, user.rawValue, Digest.sha256Hex([call.request.method.rawValue, call.request.uri.path, key].joined(separator: "\n")))
        let bodyHash = Digest.sha256Hex(call.rawBody)
        let ticket = ULID.make(at: time.now())
        if let stored = try await begin(record, bodyHash: bodyHash, ticket: ticket) { return stored }
        let mine: Condition = .equals("ticket", .value(.string(ticket)))
        do {
            let answer = try await work()
            guard (200..<300).contains(answer.status), case .json(let value) = answer.content else {
                try await release(record, mine)
                return answer
            }
            var kept = value.object ?? [:]
            for name in showOnce { kept[name] = nil }
            var changes: [Change] = [.set("state", "done"), .set("status", .int(answer.status)), .set("body", .string(try JSON.text(Value.object(kept))))]
            if let location = answer.headers[.location] { changes.append(.set("location", .string(location))) }
            do {
                try await records.update(record, changes, if: mine)
            } catch RecordStoreError.conditionFailed {
                // Another took over after our patience ran out; the answer stands.
            }
            return answer
        } catch {
            try await release(record, mine)
            throw error
        }
    }

    /// The stored answer, or nil when this request is the one to run.
    private func begin(_ key: RecordKey, bodyHash: String, ticket: String) async throws -> Answer? {
        let now = time.now()
        let start: Document = ["state": "running", "bodyHash": .string(bodyHash), "ticket": .string(ticket), "startedAt": .string(Timestamp.text(now))]
        let given: Condition = .or([
            .recordAbsent,
            .and([.equals("state", "running"), .lessThan("startedAt", .value(.string(Timestamp.text(now - Self.patience)))), .equals("bodyHash", .value(.string(bodyHash)))]),
        ])
        do {
            try await records.put(key, start, expiresAt: now + Self.retention, if: given)
            return nil
        } catch RecordStoreError.conditionFailed(_, let current) {
            guard let stored = current?.document else { throw Self.inProgress }
            guard stored["bodyHash"]?.string == bodyHash else {
                throw Problem(.idempotencyMismatch, "This Idempotency-Key was used with another body.")
            }
            guard stored["state"]?.string == "done", let status = stored["status"]?.int, let text = stored["body"]?.string else { throw Self.inProgress }
            var headers: HTTPFields = [.idempotencyReplayed: "true"]
            if let location = stored["location"]?.string { headers[.location] = location }
            return .json(try JSON.value(Data(text.utf8)), status: status, headers: headers)
        }
    }

    private static let inProgress = Problem(.idempotencyInProgress, "The first request with this key is still running.", headers: [.retryAfter: "1"])

    private func release(_ key: RecordKey, _ mine: Condition) async throws {
        do { try await records.delete(key, if: mine) } catch RecordStoreError.conditionFailed { return }
    }
}
