import AWSBackend
import AsyncHTTPClient
import Channels
import ControlPlane
import Foundation
import Identity
import LocalBackend
import Logging
import NIOPosix
import Platform
import ServiceLifecycle
import Synchronization
import WebAPI

/// The whole platform put together from a configuration: the only place that knows backends by name.
struct Installation: Sendable {
    /// In the order of start; stopped in reverse.
    let services: [any Service]
    let firstAdmin: FirstAdmin.Outcome
    /// What an operator should know: missing isolation features and the like.
    let remarks: [String]
    let isSandboxed: Bool
    let readiness: Readiness.Check
    let closing: @Sendable () async -> Void

    /// Ends what is not a service: processes, sockets, clients, the database.
    func close() async { await closing() }

    /// - Parameters:
    ///   - executable: what `clawbot agent` is run from.
    ///   - onListening: called with the port once connections are taken.
    /// - Throws: an error whose description is a sentence for the operator.
    static func assemble(
        _ configuration: PlatformConfiguration, executable: String, logger: Logger, onListening: @escaping @Sendable (Int) async -> Void
    ) async throws -> Installation {
        try refuseUnbuilt(configuration)
        let time = SystemTime()
        let data = URL(fileURLWithPath: configuration.dataDirectory)
        let stores = try await LocalStores.open(
            dataDirectory: data, masterKeys: try masterKeys(configuration), grace: configuration.scheduler.grace, time: time, logger: logger)
        let clients = Clients()
        do {
            return try await build(configuration, executable, stores, clients, time: time, logger: logger, onListening: onListening)
        } catch {
            await clients.close(logger)
            do { try stores.close() } catch { logger.error("database not closed", metadata: ["error": "\(error)"]) }
            throw error
        }
    }

    private static func build(
        _ configuration: PlatformConfiguration, _ executable: String, _ stores: LocalStores, _ clients: Clients, time: any TimeSource, logger: Logger,
        onListening: @escaping @Sendable (Int) async -> Void
    ) async throws -> Installation {
        guard let publicBaseURL = configuration.server.publicBaseURL.flatMap({ URL(string: $0) }) else {
            throw ConfigurationError("server.publicBaseURL is missing: with server.port 0 nobody could know the address.")
        }
        let data = URL(fileURLWithPath: configuration.dataDirectory)
        let ports = Ports(
            records: stores.records, objects: stores.objects, inbound: stores.inbound, replies: stores.replies, secrets: stores.secrets,
            scheduler: stores.scheduler, live: InMemoryLiveEvents(), time: time)

        // Identity and what a fresh installation starts with.
        let issuerURL = configuration.identity.issuer ?? publicBaseURL.absoluteString
        let identity = try await IdentityParts.assemble(
            configuration, records: ports.records, secrets: ports.secrets, http: clients.vendors, issuer: try url(issuerURL), time: time, logger: logger)
        try await ProviderBootstrap.ensure(
            records: ports.records, secrets: ports.secrets, stage: configuration.stage, environment: modelEnvironment(configuration), time: time)
        let keys = try await PlatformKeys.load(from: ports.secrets, stage: configuration.stage)

        // The control plane, and the gateway that its agents talk to.
        // An embedded store has one process: its leases keep their owner over a crash, so nothing waits for them to expire.
        let metrics = Metrics()
        let foundation = ControlPlane.Foundation(ports: ports, logger: logger, leaseOwner: "embedded", observer: { metrics.count($0) })
        let channels = ChannelRegistry([
            TelegramAdapter(
                httpClient: clients.vendors, apiBaseURL: try url(configuration.channels.telegram.apiBaseURL), fileBaseURL: try url(configuration.channels.telegram.fileBaseURL),
                publicBaseURL: publicBaseURL, time: time, logger: logger),
            WebChatAdapter(),
        ])
        let tasks = TaskService(records: ports.records, scheduler: ports.scheduler, time: time, logger: logger)
        let providerHealth = ProviderHealth(time: time)
        let egress = EgressGuard(privateTargets: configuration.privateTargets, allowsLocalProviders: configuration.stage == "local")
        let providerKinds = modelKinds(configuration, clients, egress, time: time)
        let launcher = try await processLauncher(configuration, executable: executable, data: data, logger: logger)
        let computeBox = LateCompute()
        var hooks = AgentGateway.Hooks()
        hooks.finalAccepted = { session, invocation in await computeBox.compute?.finished(session, invocation) }
        hooks.search = configuration.tools.search.map { WebSearch($0, http: clients.models) }
        let mcpRelay = MCPRelay(
            records: ports.records, secrets: ports.secrets, stage: configuration.stage,
            upstream: GuardedMCPUpstream(egress: egress, client: clients.tools))
        hooks.mcp = mcpRelay
        hooks.proxy = CredentialProxy(egress: egress, client: clients.tools, secrets: ports.secrets, stage: configuration.stage)
        hooks.egress = EgressDoor(egress: egress)
        let gateway = AgentGateway(
            records: ports.records, objects: ports.objects, replies: ports.replies, live: ports.live, tasks: tasks,
            providers: ProviderResolution(records: ports.records, secrets: ports.secrets, stage: configuration.stage, kinds: providerKinds),
            quota: foundation.ledger, signer: keys.grantSigner, health: providerHealth, time: time, logger: logger, hooks: hooks)
        let gatewayRoutes = GatewayRoutes(gateway: gateway, logger: logger)
        let sockets = try GatewaySockets(routes: gatewayRoutes, runtimeDirectory: runtimeDirectory(data, "g"), 
            peers: launcher.isolation == .namespacesAndUID ? 2_000_000...2_999_999 : nil, logger: logger)
        let skills = SkillCatalogue(records: ports.records, objects: ports.objects, git: GitImport(egress: egress), time: time)
        let compute = DedicatedTasks(
            launcher: launcher, mounts: DirectoryMounts(objects: ports.objects, altered: skills.quarantine), door: SocketDoor(sockets: sockets), http: clients.agents,
            limits: .init(
                maxTasks: configuration.compute.maxTasks, minWarm: launcher.supportsWarmTasks ? configuration.compute.minWarmTasks : 0,
                idleTimeout: configuration.compute.idleTimeout),
            board: foundation.board, time: time, logger: logger)
        computeBox.set(compute)
        await compute.fillWarmPool()
        let plane = ControlPlane(
            foundation, channels: channels, compute: compute, tasks: tasks, ending: GatewayEnding(gateway: gateway), signer: keys.grantSigner,
            searchesWeb: hooks.search != nil, mcp: mcpRelay)

        // The API on top.
        let purgeAfter = Duration.seconds(configuration.deletedRetentionDays * 86_400)
        let purgeBox = LatePurge()
        let notices = notices(foundation, plane: plane, compute: compute, forget: identity.forget, purge: purgeBox)
        let channelService = ChannelService(
            records: ports.records, secrets: ports.secrets, registry: channels, publicBaseURL: publicBaseURL, stage: configuration.stage, notices: notices,
            time: time)
        let bots = BotService(
            records: ports.records, scheduler: ports.scheduler, channels: channelService,
            engines: ClaudeCLI.locate(configuration.compute).path == nil ? [.native] : [.native, .claudeCode], notices: notices, time: time,
            purgeAfter: purgeAfter)
        let userDeletion = UserDeletion(records: ports.records, bots: bots, purgeAfter: purgeAfter, time: time)
        let purge = Purge(ports: ports, bots: bots, users: userDeletion, stage: configuration.stage, logger: logger)
        purgeBox.set(purge)
        let mcpLibrary = MCPLibrary(records: ports.records, secrets: ports.secrets, stage: configuration.stage, egress: egress, time: time)
        let doors = IngestDoors(ingest: plane.ingest, objects: ports.objects)
        let api = API(
            APIServices(
                records: ports.records, bots: bots,
                channels: channelService, groups: GroupService(records: ports.records, notices: notices),
                memory: MemoryService(objects: ports.objects, history: foundation.history, notices: notices), files: FileService(objects: ports.objects),
                providers: ProviderService(
                    records: ports.records, secrets: ports.secrets, stage: configuration.stage, egress: egress,
                    probe: ProviderProbe(kinds: providerKinds, health: providerHealth, time: time).callAsFunction, notices: notices, time: time),
                tasks: tasks,
                proxyRules: ProxyRuleService(records: ports.records, secrets: ports.secrets, egress: egress, stage: configuration.stage, time: time), mcpLibrary: mcpLibrary,
                mcpServers: BotMCPServers(
                    records: ports.records, secrets: ports.secrets, library: mcpLibrary, stage: configuration.stage, egress: egress, notices: notices, time: time),
                skills: skills, botSkills: BotSkills(records: ports.records, catalogue: skills, notices: notices, time: time),
                plans: PlanService(records: ports.records, notices: notices, time: time), userDeletion: userDeletion, chat: doors, webhooks: doors, events: foundation.events, live: ports.live,
                signIn: identity.signIn, users: identity.users(launcher.isolation >= .namespaces), verifier: identity.verifier, deadLetters: plane.deadLetters, notices: notices, keys: keys,
                time: time),
            facts: DeploymentFacts(version: Version.text, issuer: try url(issuerURL), publicBaseURL: publicBaseURL, sandboxed: launcher.isolation >= .namespaces), logger: logger)
        _ = try await Restoration(plane: plane, bots: bots, tasks: tasks, logger: logger) { user in
            try await identity.accounts.delete(user, by: UserID("restore"))
        }.run()
        metrics.add(operationsGauges(ports: ports, compute: compute, api: api, health: providerHealth))
        let computeCheck = Readiness.Check("compute", critical: false) { try await launcher.probe() }
        let web = try WebServer(
            webConfiguration(configuration, publicBaseURL), routes: api.routes,
            mounts: [gatewayRoutes.mount],
            verifier: identity.verifier, records: ports.records,
            readiness: Readiness(
                [
                    .init("records", critical: true) { try await ports.records.probe() }, .init("objects", critical: true) { try await ports.objects.probe() },
                    .init("queue", critical: true) { _ = try await ports.inbound.depth() }, .init("secrets", critical: true) { try await ports.secrets.probe() },
                    .init("scheduler", critical: false) { try await ports.scheduler.probe() }, computeCheck,
                    .init("identity", critical: true) { _ = try await identity.signIn?.publicKeys() }, .init("live", critical: false) { try await ports.live.probe() },
                    .init("channels", critical: false) {
                        // All of a service's channels at once: that is the service, or our way to it. A single one is its owner's affair.
                        if try await channelHealth(ports.records).contains(where: { $0.working == 0 }) { throw Readiness.Degraded() }
                    },
                ], time: time),
            metrics: metrics, limits: RateLimits(limits: rateLimits(configuration), time: time), version: Version.text, time: time, logger: logger, onListening: onListening)

        let desk = OperatorDesk(
            accounts: identity.accounts, remote: configuration.identity.remote, changed: notices.userChanged, deleted: { try await userDeletion.ended($0, by: .system) })
        // An operator may have deleted users while no server ran: their bots go now.
        for user in try await identity.accounts.deletedOwners() { try await userDeletion.ended(user.userId, by: .system) }

        return Installation(
            services: stores.services + plane.services + identity.services + [purge, OperatorSocket(dataDirectory: configuration.dataDirectory, desk: desk, logger: logger), web],
            firstAdmin: identity.firstAdmin, remarks: launcher.remarks, isSandboxed: launcher.isolation >= .namespaces, readiness: computeCheck,
            closing: {
                await compute.shutDown()
                await launcher.shutdown()
                await sockets.closeAll()
                // Only sockets and mount points were in them, and nobody uses those any more.
                for part in ["a", "g"] { try? FileManager.default.removeItem(atPath: runtimeDirectory(data, part)) }
                await clients.close(logger)
                do { try stores.close() } catch { logger.error("database not closed", metadata: ["error": "\(error)"]) }
            })
    }

    // MARK: Parts

    /// This build has the embedded backend only; what else the configuration could name is refused with a sentence.
    static func refuseUnbuilt(_ configuration: PlatformConfiguration) throws {
        let chosen: [(String, String, String)] = [
            ("records.backend", configuration.records.rawValue, "sqlite"), ("queue.backend", configuration.queue.rawValue, "sqlite"),
            ("scheduler.backend", configuration.scheduler.backend.rawValue, "sqlite"), ("objects.backend", configuration.objects.rawValue, "filesystem"),
            ("live.backend", configuration.live.rawValue, "memory"), ("secrets.backend", configuration.secrets.backend.rawValue, "records"),
            ("compute.backend", configuration.compute.backend.rawValue, "process"), ("identity.backend", configuration.identity.backend.rawValue, "local"),
        ]
        for (key, value, built) in chosen where value != built {
            throw ConfigurationError("\(key): '\(value)' is not part of this version yet; it has '\(built)'.")
        }
        if configuration.server.tls != nil {
            throw ConfigurationError("server.tls is not part of this version yet; put a proxy in front and name it in server.trustedProxies.")
        }
        if configuration.server.agentPort != nil { throw ConfigurationError("server.agentPort is not part of this version yet.") }
    }

    static func masterKeys(_ configuration: PlatformConfiguration) throws -> MasterKeys? {
        if let path = configuration.secrets.masterKeyFile {
            guard let keys = try MasterKeyFile(path: path).read() else { throw ConfigurationError("secrets.masterKeyFile: there is no file \(path).") }
            return keys
        }
        guard let command = configuration.secrets.masterKeyCommand else { return nil }
        let process = Process(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ConfigurationError("secrets.masterKeyCommand ended with status \(process.terminationStatus).") }
        return try MasterKeys(text: text, source: "secrets.masterKeyCommand")
    }

    static func processLauncher(_ configuration: PlatformConfiguration, executable: String, data: URL, logger: Logger) async throws -> ProcessLauncher {
        var settings = SandboxSettings(
            mode: configuration.compute.sandbox == .none ? .none : .bubblewrap, payload: .agent(executable: executable),
            runtimeDirectory: runtimeDirectory(data, "a"),
            dataDirectory: FileManager.default.fileExists(atPath: data.path) ? data.path : data.deletingLastPathComponent().path)
        settings.readOnlyPaths = configuration.compute.readOnlyPaths
        settings.claudeCLI = ClaudeCLI.locate(configuration.compute).path
        settings.limits.memoryBytes = UInt64(configuration.compute.memoryMB) << 20
        settings.limits.processes = UInt64(configuration.compute.processes)
        settings.limits.fileBytes = UInt64(configuration.compute.fileMB) << 20
        return try await ProcessLauncher(settings, logger: logger)
    }

    /// Sockets need short paths (107 bytes); so they are not below the data directory but in one named after it.
    private static func runtimeDirectory(_ data: URL, _ part: String) -> String {
        let base = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"].flatMap { $0.utf8.count <= 30 ? $0 : nil } ?? "/tmp"
        return "\(base)/clawbot-\(Digest.sha256Hex(data.standardizedFileURL.path).prefix(10))-\(part)"
    }

    /// The endpoints that this deployment can talk to, by the type of their providers.
    private static func modelKinds(_ configuration: PlatformConfiguration, _ clients: Clients, _ egress: EgressGuard, time: any TimeSource) -> [Provider.Kind: any ModelProvider] {
        let aws = AWSIdentity(region: configuration.awsRegion, environment: ProcessInfo.processInfo.environment, client: clients.models, time: time)
        return [
            .anthropicCompatible: AnthropicCompatibleProvider(egress: egress, client: clients.endpoints),
            .openAICompatible: OpenAICompatibleProvider(egress: egress, client: clients.endpoints),
            .bedrock: BedrockProvider(models: BedrockRuntime(identity: aws, client: clients.models, time: time)),
        ]
    }

    private static func modelEnvironment(_ configuration: PlatformConfiguration) -> [String: String] {
        var environment: [String: String] = [:]
        environment["ANTHROPIC_API_KEY"] = configuration.anthropic.apiKey?.reveal()
        environment["ANTHROPIC_AUTH_TOKEN"] = configuration.anthropic.authToken?.reveal()
        environment["ANTHROPIC_BASE_URL"] = configuration.anthropic.baseURL
        for name in ["ANTHROPIC_MODEL", "LOCAL_MODEL_URL"] { environment[name] = ProcessInfo.processInfo.environment[name] }
        return environment
    }

    static func webConfiguration(_ configuration: PlatformConfiguration, _ publicBaseURL: URL) -> WebServerConfiguration {
        WebServerConfiguration(
            host: configuration.server.host, port: configuration.server.port, publicBaseURL: publicBaseURL, corsOrigins: configuration.server.corsOrigins,
            trustedProxies: configuration.server.trustedProxies.map(\.description), originSecret: configuration.originVerifySecret,
            operationsToken: configuration.opsToken)
    }

    static func rateLimits(_ configuration: PlatformConfiguration) -> [RateLimits.Bucket: Int] {
        let limits = configuration.limits
        return [
            .api: limits.apiPerMinute, .chat: limits.chatPerMinute, .provider: limits.providerCallsPerMinute, .signIn: limits.loginPerMinute,
            .open: limits.unauthenticatedPerMinute, .webhook: limits.webhookPerMinute,
        ]
    }

    private static func url(_ text: String) throws -> URL {
        guard let url = URL(string: text) else { throw ConfigurationError("'\(text)' is not a URL.") }
        return url
    }

    /// What follows from changes that people make: caches forget, gateways look again, agents start afresh.
    private static func notices(
        _ foundation: ControlPlane.Foundation, plane: ControlPlane, compute: DedicatedTasks, forget: @escaping @Sendable (UserID) -> Void, purge: LatePurge
    ) -> ManagementNotices {
        var notices = ManagementNotices()
        notices.botChanged = { bot in
            foundation.directory.forget(bot: bot.botId)
            if bot.status == .deleted { await logged(foundation, "runs not stopped") { try await plane.runs.stopAll(of: bot.botId) } }
            if bot.status == .deleted || bot.status == .paused { await compute.retireAll(bot.botId) }
        }
        notices.channelChanged = { bot, type in
            foundation.directory.forget(channel: type, of: bot)
            await plane.wake.changed()
        }
        notices.groupChanged = { session in foundation.groups.forget(session) }
        notices.providerChanged = { _ in foundation.directory.forgetProviders() }
        notices.userChanged = { user in
            forget(user)
            foundation.directory.forget(user: user)
            await logged(foundation, "runs not stopped") {
                // Suspended or deleted: its grants are dead already, this ends the processes and settles their runs.
                guard try await !foundation.directory.isActive(user) else { return }
                try await plane.runs.stopAll(of: user)
                for bot in try await foundation.ports.records.all(Bot.self, RecordQuery(Tables.bots, partition: user.rawValue, limit: 200)) {
                    await compute.retireAll(bot.botId)
                }
            }
        }
        notices.deletionBegan = { purge.wake() }
        notices.memoryChanged = { _, bot, group in
            // A mounted file that was replaced is seen by the next process only.
            if let bot { if let group { await compute.retireIdle(SessionKey(botId: bot, groupJid: group)) } else { await compute.retireIdle(of: bot) } }
        }
        return notices
    }

    private static func logged(_ foundation: ControlPlane.Foundation, _ what: String, _ body: () async throws -> Void) async {
        do { try await body() } catch { foundation.logger.error("\(what)", metadata: ["error": "\(error)"]) }
    }
}

/// Connections to the outside, each kind with settings of its own.
private struct Clients: Sendable {
    let models = AnthropicCompatibleProvider.makeClient(on: MultiThreadedEventLoopGroup.singleton)
    let vendors = HTTPClient(eventLoopGroupProvider: .singleton, configuration: ChannelHTTP.configuration)
    let agents = Self.agentClient()
    /// Model endpoints that people enter: a connection for each answer that streams.
    let endpoints = EgressClient(readTimeout: .seconds(120), connectionsPerHost: 1000)
    /// Servers of others that tenants name.
    let tools = EgressClient()

    /// A process that does not listen yet, or is gone, is told at once: the client's own tries would be 100 ms apart.
    private static func agentClient() -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroup: .singletonMultiThreadedEventLoopGroup, configuration: configuration)
    }

    func close(_ logger: Logger) async {
        await endpoints.shutdown()
        await tools.shutdown()
        for client in [models, vendors, agents] {
            do { try await client.shutdown() } catch { logger.debug("client not shut down", metadata: ["error": "\(error)"]) }
        }
    }
}

/// The compute, once it is there: the gateway is built before it and tells it when a run has replied.
private final class LateCompute: Sendable {
    private let box = Mutex<DedicatedTasks?>(nil)
    var compute: DedicatedTasks? { box.withLock { $0 } }
    func set(_ compute: DedicatedTasks) { box.withLock { $0 = compute } }
}

/// The purge, once it is there: it is built on the services whose notices wake it.
private final class LatePurge: Sendable {
    private let box = Mutex<Purge?>(nil)
    func wake() { box.withLock { $0 }?.wake() }
    func set(_ purge: Purge) { box.withLock { $0 = purge } }
}

private struct SocketDoor: GatewayDoor {
    let sockets: GatewaySockets
    func open(_ session: SessionKey) async throws -> String { try await sockets.open(session: session) }
    func close(_ session: SessionKey) async { await sockets.close(session: session) }
}

private struct GatewayEnding: RunEnding {
    let gateway: AgentGateway
    func end(_ invocation: InvocationID) async -> TokenUsage? { await gateway.end(invocation) }
    func trace(of invocation: InvocationID) async -> [TraceStep] { gateway.trace(of: invocation) }
}
