import AsyncHTTPClient
import Foundation
import Hummingbird
import Logging
import NIOCore
import NIOPosix
import Platform
import ServiceLifecycle

/// `clawbot agent`: the runtime inside a sandboxed process, a container or a task.
///
/// ```swift
/// let status = await AgentProcess.main(environment: ProcessInfo.processInfo.environment)
/// ```
public enum AgentProcess {
    /// Serves until idle for too long or told to end; returns the exit status: 0 well, 64 (EX_USAGE) wrongly configured, 70 (EX_SOFTWARE) failed.
    public static func main(environment: [String: String]) async -> Int32 {
        ProcessLimits.apply()
        let key = ProcessLimits.takeSecret("CLAWBOT_PROCESS_KEY") ?? environment["CLAWBOT_PROCESS_KEY"]
        let configuration: AgentConfiguration
        do {
            configuration = try AgentConfiguration(environment: environment, processKey: key.map { Secret($0) })
        } catch {
            FileHandle.standardError.write(Data("clawbot agent: \(error)\n".utf8))
            return 64
        }
        var logger = Logger(label: "clawbot.agent", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = Logger.Level(rawValue: configuration.logLevel) ?? .info
        do {
            // Whoever started this process need not ask again and again whether it listens by now.
            try await serve(configuration, logger: logger) { FileHandle.standardOutput.write(Data("listening\n".utf8)) }
            return 0
        } catch {
            logger.error("agent failed", metadata: ["error": "\(error)"])
            return 70
        }
    }

    /// The process without its limits and exit: what tests and embedders run.
    /// - Parameter onListening: called once the socket accepts connections.
    public static func serve(
        _ configuration: AgentConfiguration, time: any TimeSource = SystemTime(), logger: Logger, handlesSignals: Bool = true,
        onListening: @escaping @Sendable () async -> Void = {}
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let http = GatewayClient.makeHTTP(on: group)
        let result: Result<Void, any Error>
        do {
            try await run(configuration, group: group, http: http, time: time, logger: logger, handlesSignals: handlesSignals, onListening: onListening)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        try? await http.shutdown()
        try? await group.shutdownGracefully()
        try result.get()
    }

    private static func run(
        _ configuration: AgentConfiguration, group: MultiThreadedEventLoopGroup, http: HTTPClient, time: any TimeSource, logger: Logger,
        handlesSignals: Bool, onListening: @escaping @Sendable () async -> Void
    ) async throws {
        let host = RunHost(session: configuration.session, time: time)
        // Only in a network namespace of our own: elsewhere everybody on the machine could use the loopback, and commands have its network.
        let forwarder: EgressForwarder? =
            if let socket = configuration.gatewaySocket, configuration.isSandboxed {
                try await EgressForwarder(gatewaySocket: socket, on: group, logger: logger) { host.grant }
            } else { nil }
        let wayOut = forwarder?.environment ?? [:]
        let engine = EngineChoice(
            native: NativeEngine(
                places: configuration.places, options: configuration.options, commandEnvironment: wayOut, refusals: forwarder?.refusals, logger: logger),
            claudeCode: configuration.claudeCLI.map {
                ClaudeCodeEngine(cli: $0, places: configuration.places, commandEnvironment: wayOut, logger: logger)
            })
        // Without a sandbox nothing else ends what commands left in the background.
        defer { engine.shutDown() }
        try configuration.places.prepare()
        let invocation = InvocationRun(engine: engine, http: http, time: time, logger: logger)
        let address: BindAddress
        switch configuration.listener {
        case .unixSocket(let path):
            // Left by a process before us, if anything; ours alone by its directory.
            unlink(path)
            address = .unixDomainSocket(path: path)
        case .port(let port): address = .hostname("0.0.0.0", port: port)
        }
        let server = Application(
            responder: AgentServer(host: host, processKey: configuration.processKey, time: time, logger: logger),
            configuration: ApplicationConfiguration(address: address, serverName: nil),
            onServerRunning: { _ in await onListening() }, eventLoopGroupProvider: .shared(group), logger: Self.quiet(logger))
        let worker = RunWorker(host: host, idleTimeout: configuration.idleTimeout, logger: logger) { job in
            await invocation.perform(job.payload, control: job.control)
        }
        var services = ServiceGroupConfiguration(
            services: [
                .init(service: server),
                // Idle for too long: the worker returns, and everything ends in order.
                .init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup),
            ], gracefulShutdownSignals: handlesSignals ? [.sigterm, .sigint] : [], logger: Self.quiet(logger))
        if let socket = configuration.gatewaySocket {
            services.services.append(
                .init(service: GatewayWatch(socket: socket, group: group, time: time, logger: logger), successTerminationBehavior: .gracefullyShutdownGroup))
        }
        if let forwarder { services.services.append(.init(service: Forwarding(forwarder: forwarder))) }
        services.maximumGracefulShutdownDuration = Duration.seconds(20)
        try await ServiceGroup(configuration: services).run()
    }

    private struct Forwarding: Service {
        let forwarder: EgressForwarder
        func run() async { await cancelWhenGracefulShutdown { await forwarder.run() } }
    }

    /// Frameworks report their trouble, not their life.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}
