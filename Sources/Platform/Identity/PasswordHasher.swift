import Crypto
import CryptoExtras
import Foundation
import Platform
import Synchronization

/// Hashes and checks passwords with scrypt (RFC 7914; SEC-08), few at once, because one hash takes 128 MiB and a good part
/// of a second. It works on its own threads, so that Swift's few ones stay free.
public final class PasswordHasher: Sendable {
    public struct Cost: Sendable, Hashable {
        /// N = 2^logN
        public var logN: Int
        public var blockSize: Int
        public var parallelism: Int
        /// N=2^17, r=8, p=1.
        public static let standard = Cost(logN: 17, blockSize: 8, parallelism: 1)
        public init(logN: Int, blockSize: Int, parallelism: Int) { self.logN = logN; self.blockSize = blockSize; self.parallelism = parallelism }
        var work: Int { (1 << logN) * blockSize * parallelism }
    }

    private struct Line {
        var running = 0
        var waiting: [(id: UInt64, turn: CheckedContinuation<Bool, Never>)] = []
        var next: UInt64 = 0
        var done = 0
        var most = 0
    }
    private let cost: Cost
    private let atOnce: Int
    private let longestQueue: Int
    private let line = Mutex(Line())
    private let threads = DispatchQueue(label: "clawbot.passwords", attributes: .concurrent)
    private let dummy: String

    /// - Parameters:
    ///   - atOnce: hashes in flight on this node.
    ///   - longestQueue: those waiting beyond it; further ones are refused with ``IdentityError/busy(retryAfter:)``.
    public init(cost: Cost = .standard, atOnce: Int = 2, longestQueue: Int = 32) {
        self.cost = cost; self.atOnce = max(1, atOnce); self.longestQueue = longestQueue
        dummy = Self.text(cost, salt: [UInt8](repeating: 7, count: 16), hash: [UInt8](repeating: 9, count: 32))
    }

    /// Hashes made so far, and the most that ran at once.
    public var statistics: (hashes: Int, mostAtOnce: Int) { line.withLock { ($0.done, $0.most) } }

    /// `$scrypt$ln=17,r=8,p=1$<salt>$<hash>` with a new salt.
    public func hash(_ password: Secret) async throws -> String {
        var generator = SystemRandomNumberGenerator()
        let salt = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let cost = self.cost
        return try await inTurn { Self.text(cost, salt: salt, hash: try Self.derive(password, salt: salt, cost: cost)) }
    }

    /// Whether the password is the stored one. Without a stored one it does the same work and says no (SEC-11).
    public func verify(_ password: Secret, stored: String?) async throws -> Bool {
        if let imported = stored.flatMap(BcryptHash.init) { return try await inTurn { imported.matches(password) } }
        let parsed = stored.flatMap(Self.parse)
        let (cost, salt, hash) = parsed ?? Self.parse(dummy) ?? (self.cost, [], [])
        let matches = try await inTurn { () -> Bool in
            let key = SymmetricKey(size: .bits256)
            let expected = HMAC<SHA256>.authenticationCode(for: hash, using: key)
            return HMAC<SHA256>.isValidAuthenticationCode(expected, authenticating: try Self.derive(password, salt: salt, cost: cost), using: key)
        }
        return matches && parsed != nil
    }

    /// Whether a stored hash was made with less work than is usual now.
    public func isWeaker(_ stored: String) -> Bool {
        guard let (stored, _, _) = Self.parse(stored) else { return true }
        return stored.work < cost.work
    }

    private static func derive(_ password: Secret, salt: [UInt8], cost: Cost) throws -> [UInt8] {
        // The same password typed on another system may come decomposed.
        let text = password.reveal().precomposedStringWithCanonicalMapping
        let key = try KDF.Scrypt.deriveKey(
            from: Data(text.utf8), salt: salt, outputByteCount: 32, rounds: 1 << cost.logN, blockSize: cost.blockSize, parallelism: cost.parallelism)
        return key.withUnsafeBytes { Array($0) }
    }

    private static func text(_ cost: Cost, salt: [UInt8], hash: [UInt8]) -> String {
        "$scrypt$ln=\(cost.logN),r=\(cost.blockSize),p=\(cost.parallelism)$\(Digest.base64URL(salt))$\(Digest.base64URL(hash))"
    }

    private static func parse(_ text: String) -> (Cost, [UInt8], [UInt8])? {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[1] == "scrypt" else { return nil }
        let numbers = parts[2].split(separator: ",").compactMap { $0.split(separator: "=").last.flatMap { Int($0) } }
        guard numbers.count == 3, (1...22).contains(numbers[0]), (1...32).contains(numbers[1]), (1...16).contains(numbers[2]),
            let salt = Digest.fromBase64URL(parts[3]), let hash = Digest.fromBase64URL(parts[4]), hash.count == 32
        else { return nil }
        return (Cost(logN: numbers[0], blockSize: numbers[1], parallelism: numbers[2]), Array(salt), Array(hash))
    }

    // MARK: The queue

    private func inTurn<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
        try await enter()
        defer { leave() }
        return try await withCheckedThrowingContinuation { continuation in
            threads.async { continuation.resume(with: Result(catching: work)) }
        }
    }

    private func enter() async throws {
        let (atOnce, longest) = (atOnce, longestQueue)
        let id: UInt64? = try line.withLock { line in
            if line.running < atOnce {
                line.running += 1
                line.most = max(line.most, line.running)
                return nil
            }
            guard line.waiting.count < longest else { throw IdentityError.busy(retryAfter: .seconds(2)) }
            line.next += 1
            return line.next
        }
        guard let id else { return }
        let mayRun = await withTaskCancellationHandler {
            await withCheckedContinuation { turn in
                let now: Bool? = line.withLock { line in
                    if Task.isCancelled { return false }
                    // Somebody may have left meanwhile, or others may have filled the queue: then one more waits, never lost.
                    if line.running < atOnce {
                        line.running += 1
                        line.most = max(line.most, line.running)
                        return true
                    }
                    line.waiting.append((id, turn))
                    return nil
                }
                if let now { turn.resume(returning: now) }
            }
        } onCancel: {
            line.withLock { line -> CheckedContinuation<Bool, Never>? in
                guard let place = line.waiting.firstIndex(where: { $0.id == id }) else { return nil }
                return line.waiting.remove(at: place).turn
            }?.resume(returning: false)
        }
        guard mayRun else { throw CancellationError() }
    }

    private func leave() {
        line.withLock { line -> CheckedContinuation<Bool, Never>? in
            line.done += 1
            if line.waiting.isEmpty { line.running -= 1; return nil }
            // The place passes on to the first in the queue.
            return line.waiting.removeFirst().turn
        }?.resume(returning: true)
    }
}
