import Foundation
import Platform

/// Failed log-ins by e-mail, existing or not (SEC-07): from the fifth in a row on each closes the door, for 60 s doubling to
/// 15 min. An attempt counts as failed before its password is looked at, so that many at once gain nothing; a right password
/// wipes the count. Shared by all nodes, since it is a record.
struct LoginAttempts: Sendable {
    static let free = 5
    static let firstLock: TimeInterval = 60
    static let longestLock: TimeInterval = 900
    /// A count without further failures is forgotten.
    static let memory: TimeInterval = 86_400
    /// One try, counted as a failure until it proves to be none.
    struct Attempt: Sendable {
        var count: Int
        /// Whether it closes the door if it stays a failure.
        var closes: Bool { count >= LoginAttempts.free }
    }
    let records: any RecordStore
    let time: any TimeSource

    /// - Throws: ``IdentityError/tooManyAttempts(retryAfter:)``, and then nothing is counted.
    func begin(_ email: String) async throws -> Attempt {
        let key = Self.key(email)
        for _ in 0..<20 {
            let now = time.now()
            let record = try await records.get(key)
            if let until = record?.document["lockedUntil"]?.string.flatMap(Timestamp.date), until > now {
                throw IdentityError.tooManyAttempts(retryAfter: .seconds(Int(until.timeIntervalSince(now).rounded(.up))))
            }
            let count = (record?.document["count"]?.int ?? 0) + 1
            var document: Document = ["count": .int(count)]
            if count >= Self.free { document["lockedUntil"] = .string(Timestamp.text(now + Self.lock(after: count))) }
            let unchanged: Condition = record == nil ? .recordAbsent : .equals("count", .value(.int(count - 1)))
            do {
                try await records.put(key, document, expiresAt: now + Self.memory, if: unchanged)
                return Attempt(count: count)
            } catch RecordStoreError.conditionFailed { continue }
        }
        throw IdentityError.tooManyAttempts(retryAfter: .seconds(1))
    }

    /// A right password of somebody whose second factor is still to come: this attempt was no failure, and the door that it closed
    /// in advance opens again; but earlier ones, wrong codes among them, stay counted. Else whoever knows the password could guess
    /// codes without end. When another attempt came in between, everything stays as that one left it.
    func forgive(_ attempt: Attempt, of email: String) async throws {
        do {
            try await records.update(
                Self.key(email), [.set("count", .int(attempt.count - 1)), .remove("lockedUntil")], if: .equals("count", .value(.int(attempt.count))))
        } catch RecordStoreError.conditionFailed { /* wiped by a success, or counted on by a failure */ }
    }

    func succeeded(_ email: String) async throws { try await records.delete(Self.key(email)) }

    /// How long the door stays closed after so many failures.
    static func lock(after count: Int) -> TimeInterval { min(longestLock, firstLock * pow(2, Double(min(count - free, 20)))) }

    /// By digest: an e-mail that somebody tried is nobody's business.
    static func key(_ email: String) -> RecordKey { RecordKey(Tables.loginAttempts, Digest.sha256Hex("email/" + email.lowercased()), "attempts") }
}
