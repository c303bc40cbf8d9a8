import Foundation
import Platform

/// Credentials that are fetched when first needed and again before they expire, once for all who wait.
///
/// A quarter of an hour before the end (a quarter of a shorter life) one caller's need starts a refresh while all go on with the old
/// ones; ten minutes before (a sixth) everybody waits for it.
public actor ExpiringCredentials {
    private enum State {
        case empty
        case held(AWSCredentials, fetchedAt: Date)
        /// `old` may be used meanwhile, as long as it must not be refreshed first.
        case fetching(Task<AWSCredentials, any Error>, old: (AWSCredentials, fetchedAt: Date)?)
    }
    private static let advisory = 900.0, mandatory = 600.0
    /// After a refresh that failed while the old ones still serve.
    private static let pause = 60.0

    private let source: any AWSCredentialSource
    private let time: any TimeSource
    private var state = State.empty
    private var notBefore = Date.distantPast

    public init(_ source: any AWSCredentialSource, time: any TimeSource = SystemTime()) { self.source = source; self.time = time }

    /// - Throws: ``AWSCredentialError``
    public func get() async throws -> AWSCredentials {
        switch state {
        case .empty: return try await wait(for: fetch(replacing: nil))
        case .held(let credentials, let fetchedAt):
            switch need(credentials, fetchedAt) {
            case .none: return credentials
            case .soon:
                if time.now() >= notBefore { fetch(replacing: (credentials, fetchedAt)) }
                return credentials
            case .now: return try await wait(for: fetch(replacing: (credentials, fetchedAt)))
            }
        case .fetching(let task, let old?):
            if need(old.0, old.fetchedAt) != .now { return old.0 }
            return try await wait(for: task)
        case .fetching(let task, nil): return try await wait(for: task)
        }
    }

    /// The service calls these expired: the next caller fetches anew.
    public func forget(_ accessKeyID: String) {
        if case .held(let credentials, _) = state, credentials.accessKeyID == accessKeyID { state = .empty }
    }

    private enum Need { case none, soon, now }
    private func need(_ credentials: AWSCredentials, _ fetchedAt: Date) -> Need {
        guard let expiration = credentials.expiration else { return .none }
        let life = max(0, expiration.timeIntervalSince(fetchedAt)), left = expiration.timeIntervalSince(time.now())
        let isShort = life < 3600
        if left <= (isShort ? life / 6 : Self.mandatory) { return .now }
        return left <= (isShort ? life / 4 : Self.advisory) ? .soon : .none
    }

    @discardableResult
    private func fetch(replacing old: (AWSCredentials, fetchedAt: Date)?) -> Task<AWSCredentials, any Error> {
        let source = source
        let task = Task { () async throws -> AWSCredentials in
            do {
                guard let fresh = try await source.credentials() else { throw AWSCredentialError.notFound }
                self.fetched(fresh)
                return fresh
            } catch {
                self.failed(old)
                throw error
            }
        }
        state = .fetching(task, old: old)
        return task
    }

    private func fetched(_ fresh: AWSCredentials) { state = .held(fresh, fetchedAt: time.now()) }

    private func failed(_ old: (AWSCredentials, fetchedAt: Date)?) {
        state = old.map { .held($0.0, fetchedAt: $0.fetchedAt) } ?? .empty
        notBefore = time.now() + Self.pause
    }

    private func wait(for task: Task<AWSCredentials, any Error>) async throws -> AWSCredentials { try await task.value }
}
