import Foundation
import Platform

/// The second factor of people who have one (SEC-12): a time-based code, or one of ten recovery codes that each work once.
/// The shared secret lies sealed in the secret store, recovery codes as digests in the user's record.
struct SecondFactors: Sendable {
    static let recoveryCodes = 10
    let secrets: any SecretStore
    let stage: String
    let time: any TimeSource

    struct Enrolment: Sendable {
        var secret: Secret
        var uri: Secret
        /// To be stored.
        var factor: User.SecondFactor
    }

    /// Makes a secret that waits for its first code. An earlier one that waited is gone.
    func begin(for user: User) async throws -> Enrolment {
        let bytes = TimeBasedCode.newSecret(), text = Base32.encode(bytes)
        var factor = user.secondFactor ?? User.SecondFactor()
        let outdated = factor.pendingId
        let id = ULID.make(at: time.now())
        try await secrets.put(name(user.userId, id), Secret(text))
        if let outdated { try await secrets.delete(name(user.userId, outdated)) }
        factor.pendingId = id
        factor.pendingUntil = time.now() + Challenge.lifetime
        factor.stamp = Digest.randomToken(bytes: 9)
        let label = "ClawBot:\(user.email)".addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(CharacterSet(charactersIn: ".-_~"))) ?? "ClawBot"
        return Enrolment(secret: Secret(text), uri: Secret("otpauth://totp/\(label)?secret=\(text)&issuer=ClawBot&algorithm=SHA1&digits=6&period=30"), factor: factor)
    }

    /// The first code of a new secret.
    /// - Returns: what to store, and the recovery codes to be shown once; nil for a wrong code.
    func confirm(_ code: String, for user: User) async throws -> (factor: User.SecondFactor, recoveryCodes: [Secret])? {
        guard var factor = user.secondFactor, let id = factor.pendingId, let until = factor.pendingUntil, time.now() < until,
            let secret = try await secret(user.userId, id), let step = TimeBasedCode.matchingStep(Self.digits(code), secret: secret, at: time.now(), after: nil)
        else { return nil }
        let codes = (0..<Self.recoveryCodes).map { _ in Self.newRecoveryCode() }
        factor.secretId = id
        factor.enabledAt = time.now()
        factor.lastStep = step
        factor.recoveryHashes = codes.map { Self.digest($0.reveal(), user.userId) }
        (factor.pendingId, factor.pendingUntil) = (nil, nil)
        factor.stamp = Digest.randomToken(bytes: 9)
        return (factor, codes)
    }

    /// A code of an enrolled user.
    /// - Returns: what to store, so that the code is spent; nil for a wrong or spent one.
    func accept(_ code: String, of user: User) async throws -> User.SecondFactor? {
        guard var factor = user.secondFactor, let id = factor.secretId else { return nil }
        let digits = Self.digits(code)
        if digits.utf8.count == TimeBasedCode.digits, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            guard let secret = try await secret(user.userId, id), let step = TimeBasedCode.matchingStep(digits, secret: secret, at: time.now(), after: factor.lastStep) else { return nil }
            factor.lastStep = step
        } else {
            let digest = Self.digest(code, user.userId)
            guard let place = factor.recoveryHashes.firstIndex(where: { Digest.sameSecret($0, digest) }) else { return nil }
            factor.recoveryHashes.remove(at: place)
        }
        factor.stamp = Digest.randomToken(bytes: 9)
        return factor
    }

    /// Forgets the secrets of a factor that was taken away.
    func forget(_ user: User) async throws {
        for id in [user.secondFactor?.secretId, user.secondFactor?.pendingId].compactMap({ $0 }) { try await secrets.delete(name(user.userId, id)) }
    }

    /// Holds as long as nobody else has changed the user's factor.
    static func unchanged(_ user: User) -> Condition {
        user.secondFactor.map { .equals("secondFactor.stamp", .value(.string($0.stamp))) } ?? .absent("secondFactor")
    }

    private func name(_ user: UserID, _ id: String) -> SecretName { SecretName("\(stage)/\(user)/totp/\(id)") }
    private func secret(_ user: UserID, _ id: String) async throws -> [UInt8]? { try await secrets.get(name(user, id)).flatMap { Base32.decode($0.reveal()) } }

    /// As people type it: `123 456`.
    private static func digits(_ code: String) -> String { code.filter { $0 != " " && $0 != "-" } }

    /// Four groups of four out of 32 characters: 80 bits, so that a fast digest is enough.
    private static func newRecoveryCode() -> Secret {
        let alphabet = Array("abcdefghjkmnpqrstuvwxyz123456789")
        return Secret((0..<4).map { _ in String((0..<4).map { _ in alphabet[Int.random(in: 0..<32)] }) }.joined(separator: "-"))
    }
    private static func digest(_ code: String, _ user: UserID) -> String { Digest.sha256Hex("clawbot/recovery/\(user)/\(digits(code).lowercased())") }
}
