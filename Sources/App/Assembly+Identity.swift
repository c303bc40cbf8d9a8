import AsyncHTTPClient
import Foundation
import Identity
import LocalBackend
import Logging
import NIOCore
import Platform
import ServiceLifecycle
import WebAPI

/// Sign-in put together from a configuration: the accounts of this process, or a separate issuer's.
struct IdentityParts: Sendable {
    let issuer: URL
    let verifier: any TokenVerifier
    /// Absent where another process is the issuer.
    let signIn: (any SignInService)?
    /// By whether agents are separated from each other.
    let users: @Sendable (_ isSandboxed: Bool) -> any UserAdministration
    let accounts: Accounts
    let forget: @Sendable (UserID) -> Void
    let firstAdmin: FirstAdmin.Outcome
    let services: [any Service]

    static func assemble(
        _ configuration: PlatformConfiguration, records: any RecordStore, secrets: any SecretStore, http: HTTPClient, issuer: URL, time: any TimeSource,
        logger: Logger
    ) async throws -> IdentityParts {
        let policy = configuration.identity.adminSecondFactor
        let states = UserStates(records: records, adminSecondFactor: policy, time: time)
        let hasher = PasswordHasher()
        let accounts = Accounts(records: records, hasher: hasher, states: states, time: time)
        if let base = configuration.identity.remote {
            let remote = RemoteIssuer(send: { try await ask(http, base, $0) })
            let verifier = RemoteTokenVerifier(issuer: remote, named: issuer.absoluteString, records: records, time: time)
            let users = RemoteUsers(records: records, time: time)
            return IdentityParts(
                issuer: issuer, verifier: verifier, signIn: nil,
                users: { RemoteAccountsDoor(issuer: remote, users: users, verifier: verifier, isSandboxed: $0, time: time) }, accounts: accounts,
                forget: { verifier.forget($0) }, firstAdmin: .exists, services: [])
        }
        let keys = SigningKeys(secrets: secrets, records: records, stage: configuration.stage, time: time)
        let tokens = TokenIssuer(issuer: issuer.absoluteString, keys: keys, time: time)
        let signIn = SignIn(
            records: records, secrets: secrets, stage: configuration.stage, accounts: accounts, issuer: tokens, hasher: hasher, adminSecondFactor: policy, time: time)
        return IdentityParts(
            issuer: issuer, verifier: LocalTokenVerifier(issuer: issuer.absoluteString, keys: keys, users: states, time: time),
            signIn: IssuerDoor(signIn: signIn, keys: keys), users: { AccountsDoor(accounts: accounts, isSandboxed: $0) }, accounts: accounts,
            forget: { states.forget($0) },
            firstAdmin: try await FirstAdmin.ensure(accounts: accounts, email: configuration.admin.email, password: configuration.admin.password),
            services: [KeyRotation(keys: keys, time: time) { logger.error("signing keys not rotated", metadata: ["error": "\($0)"]) }])
    }

    private static func ask(_ http: HTTPClient, _ base: String, _ question: RemoteIssuer.Request) async throws -> RemoteIssuer.Answer {
        var request = HTTPClientRequest(url: base + question.path)
        request.method = .init(rawValue: question.method)
        if let token = question.token { request.headers.add(name: "Authorization", value: "Bearer \(token.reveal())") }
        if let id = question.requestId { request.headers.add(name: "X-Request-Id", value: id) }
        if let body = question.body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSON.data(.object(body))))
        }
        let response = try await http.execute(request, timeout: .seconds(10))
        let bytes = try await response.body.collect(upTo: 1 << 20)
        return RemoteIssuer.Answer(
            status: Int(response.status.code), body: bytes.readableBytes == 0 ? .object([:]) : (try? JSON.value(Data(bytes.readableBytesView))) ?? .null)
    }
}

extension Installation {
    /// The issuer alone (`clawbot auth`): its routes, health, readiness and metrics, on a data directory of its own.
    static func assembleIssuer(_ configuration: PlatformConfiguration, logger: Logger, onListening: @escaping @Sendable (Int) async -> Void) async throws -> Installation {
        guard configuration.identity.remote == nil else {
            throw ConfigurationError("identity.remote names another issuer, but `clawbot auth` is one: remove the key from its configuration.")
        }
        try refuseUnbuilt(configuration)
        guard let issuer = (configuration.identity.issuer ?? configuration.server.publicBaseURL).flatMap({ URL(string: $0) }),
            let publicBaseURL = configuration.server.publicBaseURL.flatMap({ URL(string: $0) })
        else { throw ConfigurationError("server.publicBaseURL is missing: with server.port 0 nobody could know the address.") }
        let time = SystemTime()
        let data = URL(fileURLWithPath: configuration.dataDirectory)
        let stores = try await LocalStores.open(dataDirectory: data, masterKeys: try masterKeys(configuration), time: time, logger: logger)
        let http = HTTPClient(eventLoopGroup: .singletonMultiThreadedEventLoopGroup)
        let closing: @Sendable () async -> Void = {
            try? await http.shutdown()
            do { try stores.close() } catch { logger.error("database not closed", metadata: ["error": "\(error)"]) }
        }
        do {
            let identity = try await IdentityParts.assemble(configuration, records: stores.records, secrets: stores.secrets, http: http, issuer: issuer, time: time, logger: logger)
            guard let signIn = identity.signIn else { throw ConfigurationError("identity.backend must be local for `clawbot auth`.") }
            let routes = IssuerRoutes(issuer: issuer, signIn: signIn, users: identity.users(true), changed: { identity.forget($0) })
            var settings = webConfiguration(configuration, publicBaseURL)
            settings.servesConsole = false
            let web = try WebServer(
                settings, routes: routes.routes, verifier: identity.verifier, records: stores.records,
                readiness: Readiness(
                    [
                        .init("records", critical: true) { try await stores.records.probe() }, .init("secrets", critical: true) { try await stores.secrets.probe() },
                        .init("identity", critical: true) { _ = try await signIn.publicKeys() },
                    ], time: time),
                limits: RateLimits(limits: rateLimits(configuration), time: time), time: time, logger: logger, onListening: onListening)
            let desk = OperatorDesk(accounts: identity.accounts, changed: { identity.forget($0) })
            return Installation(
                services: [stores.sweeper] + identity.services + [OperatorSocket(dataDirectory: configuration.dataDirectory, desk: desk, logger: logger), web],
                firstAdmin: identity.firstAdmin, remarks: [], isSandboxed: true,
                readiness: .init("identity", critical: true) { _ = try await signIn.publicKeys() }, closing: closing)
        } catch {
            await closing()
            throw error
        }
    }

    /// The accounts as they lie in the data directory, while no server runs on it.
    static func withOfflineAccounts<Result: Sendable>(_ configuration: PlatformConfiguration, _ work: (OperatorDesk) async throws -> Result) async throws -> Result {
        guard FileManager.default.fileExists(atPath: configuration.dataDirectory) else {
            throw OperatorRefusal("There is no data in \(configuration.dataDirectory) yet; the first start of the server makes it.")
        }
        let stores: LocalStores
        do {
            stores = try await LocalStores.open(
                dataDirectory: URL(fileURLWithPath: configuration.dataDirectory), masterKeys: try masterKeys(configuration), logger: Logger(label: "clawbot"))
        } catch LocalDatabaseError.inUse {
            throw OperatorRefusal("Another process uses the data in \(configuration.dataDirectory) and takes no orders (it may be starting or ending). Try again in a moment.")
        }
        do {
            let states = UserStates(records: stores.records)
            let result = try await work(
                OperatorDesk(accounts: Accounts(records: stores.records, hasher: PasswordHasher(), states: states), remote: configuration.identity.remote))
            try stores.close()
            return result
        } catch {
            try? stores.close()
            throw error
        }
    }
}
