import Foundation

extension PlatformConfiguration {
    /// Reads and checks the configuration.
    /// - Parameters:
    ///   - path: the YAML file; nil = none, the laptop's defaults. A path that does not exist is an error.
    ///   - environment: overrides; an empty variable counts as not set.
    /// - Throws: one sentence about the first thing that is wrong.
    public static func load(path: String?, environment: [String: String] = ProcessInfo.processInfo.environment) throws(ConfigurationError)
        -> PlatformConfiguration
    {
        var values = try ConfigurationValues(path: path, environment: environment)
        let stage = try values.required("stage")
        let dataDirectory = try values.required("dataDirectory")
        let server = try loadServer(&values)
        let records = try choice(RecordsBackend.self, "records.backend", &values)
        let queue = try choice(QueueBackend.self, "queue.backend", &values)
        let scheduler = Scheduling(
            backend: try choice(SchedulerBackend.self, "scheduler.backend", &values),
            grace: .seconds(60 * (try values.requiredInteger("scheduler.graceMinutes"))))
        let objects = try choice(ObjectsBackend.self, "objects.backend", &values)
        let live = try choice(LiveBackend.self, "live.backend", &values)
        let secrets = Secrets(
            backend: try choice(SecretsBackend.self, "secrets.backend", &values),
            masterKeyFile: try values.text("secrets.masterKeyFile"),
            masterKeyCommand: try values.text("secrets.masterKeyCommand"))
        let compute = try loadCompute(&values)
        let remote = try url("identity.remote", &values)
        let identity = Identity(
            backend: try choice(IdentityBackend.self, "identity.backend", &values),
            // Without a name of its own an issuer is called as its process is.
            issuer: try url("identity.issuer", default: remote ?? server.publicBaseURL, &values),
            clientId: try values.text("identity.clientId"), remote: remote,
            adminSecondFactor: try choice(SecondFactorPolicy.self, "identity.adminSecondFactor", default: server.isLoopback ? .optional : .required, &values))
        let postgresURL = try values.secret("postgres.url")
        let awsRegion = try values.text("aws.region")
        let channels = try loadChannels(&values)
        let tools = Tools(search: try loadTool("tools.search", &values), transcription: try loadTool("tools.transcription", &values))
        let privateTargets = try loadPrivateTargets(&values)
        let deletedDays = try values.requiredInteger("retention.deletedDays")
        let limits = try loadLimits(&values)
        let log = Log(level: try values.required("log.level"), format: try values.text("log.format").flatMap(LogFormat.init))
        let opsToken = try values.secret("ops.token")
        let originSecret = try values.secret("origin.verifySecret")
        let backupKey = try values.secret("backup.key")
        let admin = Admin(email: try values.required("ADMIN_EMAIL"), password: try values.secret("ADMIN_PASSWORD"))
        let anthropic = Anthropic(
            apiKey: try values.secret("ANTHROPIC_API_KEY"), authToken: try values.secret("ANTHROPIC_AUTH_TOKEN"),
            baseURL: try url("ANTHROPIC_BASE_URL", &values))
        let order = Dictionary(uniqueKeysWithValues: ConfigurationKey.table.enumerated().map { ($1.name, $0) })
        let configuration = PlatformConfiguration(
            stage: stage, dataDirectory: dataDirectory, server: server, records: records, queue: queue, scheduler: scheduler, objects: objects,
            live: live, secrets: secrets, compute: compute, identity: identity, postgresURL: postgresURL, awsRegion: awsRegion,
            channels: channels, tools: tools, privateTargets: privateTargets, deletedRetentionDays: deletedDays, limits: limits, log: log,
            opsToken: opsToken, originVerifySecret: originSecret, backupKey: backupKey, admin: admin, anthropic: anthropic, path: path,
            entries: values.entries.sorted { order[$0.key, default: 0] < order[$1.key, default: 0] })
        try configuration.check(values)
        return configuration
    }

    private static func loadServer(_ values: inout ConfigurationValues) throws(ConfigurationError) -> Server {
        let host = try values.required("server.host")
        let port = try values.requiredInteger("server.port")
        // A wildcard or foreign address says nothing about the name that others use: the laptop's own is only right on the laptop.
        let ownURL = port != 0 && NetworkBlock.isLoopback(host: host) ? "http://\(host.contains(":") ? "[\(host)]" : host):\(port)" : nil
        let publicBaseURL = try url("server.publicBaseURL", default: ownURL, &values)
        var proxies: [NetworkBlock] = []
        for text in try values.list("server.trustedProxies") {
            guard let block = NetworkBlock(text) else {
                throw ConfigurationError(
                    "\(values.named("server.trustedProxies")) holds '\(text)', which is neither an address nor a block such as 10.0.0.0/8.")
            }
            proxies.append(block)
        }
        let origins = try values.list("server.corsOrigins")
        let agentPort = try values.integer("server.agentPort")
        let certificate = try values.text("server.tls.certificateFile")
        let key = try values.text("server.tls.keyFile")
        if (certificate == nil) != (key == nil) {
            let missing = certificate == nil ? "server.tls.certificateFile" : "server.tls.keyFile"
            throw ConfigurationError("\(missing) is missing: TLS needs both the certificate and the key; set it in \(values.place(missing)).")
        }
        var tls: TLS?
        if let certificate, let key { tls = TLS(certificateFile: certificate, keyFile: key) }
        return Server(
            host: host, port: port, publicBaseURL: publicBaseURL, trustedProxies: proxies, corsOrigins: origins, agentPort: agentPort, tls: tls)
    }

    private static func loadCompute(_ values: inout ConfigurationValues) throws(ConfigurationError) -> Compute {
        #if os(Linux)
            let usual = ComputeBackend.process
        #else
            let usual = ComputeBackend.container
        #endif
        let backend = try choice(ComputeBackend.self, "compute.backend", default: usual, &values)
        let isHere = backend == .process || backend == .container
        return Compute(
            backend: backend,
            sandbox: try choice(Sandbox.self, "compute.sandbox", default: .bubblewrap, &values),
            minWarmTasks: try values.requiredInteger("compute.minWarmTasks"),
            maxTasks: try values.requiredInteger("compute.maxTasks", default: isHere ? 16 : 500),
            idleTimeout: .seconds(60 * (try values.requiredInteger("compute.idleTimeoutMinutes"))),
            memoryMB: try values.requiredInteger("compute.memoryMB"),
            processes: try values.requiredInteger("compute.processes"),
            fileMB: try values.requiredInteger("compute.fileMB"),
            workspaceMB: try values.requiredInteger("compute.workspaceMB"), readOnlyPaths: try values.list("compute.readOnlyPaths"),
            claudeCLI: try values.text("compute.claudeCLI"))
    }

    private static func loadChannels(_ values: inout ConfigurationValues) throws(ConfigurationError) -> Channels {
        let telegram = try requiredURL("channels.telegram.apiBaseURL", &values)
        return Channels(
            telegram: .init(apiBaseURL: telegram, fileBaseURL: try url("channels.telegram.fileBaseURL", default: telegram, &values) ?? telegram),
            discord: .init(
                apiBaseURL: try requiredURL("channels.discord.apiBaseURL", &values),
                gatewayURL: try url("channels.discord.gatewayURL", schemes: ["wss", "ws"], &values),
                cdnHosts: try values.list("channels.discord.cdnHosts")),
            slack: .init(apiBaseURL: try requiredURL("channels.slack.apiBaseURL", &values), fileHosts: try values.list("channels.slack.fileHosts")),
            whatsapp: .init(
                graphBaseURL: try requiredURL("channels.whatsapp.graphBaseURL", &values),
                graphVersion: try values.required("channels.whatsapp.graphVersion"),
                mediaHosts: try values.list("channels.whatsapp.mediaHosts")),
            feishu: .init(
                feishuBaseURL: try requiredURL("channels.feishu.feishuBaseURL", &values),
                larkBaseURL: try requiredURL("channels.feishu.larkBaseURL", &values),
                socketHost: try values.text("channels.feishu.socketHost")),
            dingtalk: .init(
                apiBaseURL: try requiredURL("channels.dingtalk.apiBaseURL", &values),
                legacyBaseURL: try requiredURL("channels.dingtalk.legacyBaseURL", &values),
                mediaHosts: try values.list("channels.dingtalk.mediaHosts")))
    }

    private static func loadTool(_ section: String, _ values: inout ConfigurationValues) throws(ConfigurationError) -> ExternalTool? {
        let baseURL = try url("\(section).baseURL", &values)
        let apiKey = try values.secret("\(section).apiKey")
        let command = try values.text("\(section).command")
        switch (baseURL, command) {
        case (nil, nil):
            if apiKey != nil {
                throw ConfigurationError("\(section).baseURL is missing: \(values.named("\(section).apiKey")) is a key for nothing without it.")
            }
            return nil
        case (let baseURL?, nil): return .endpoint(baseURL: baseURL, apiKey: apiKey)
        case (nil, let command?): return .command(command)
        default:
            throw ConfigurationError("\(values.named("\(section).baseURL")) and \(values.named("\(section).command")) exclude each other: keep one.")
        }
    }

    private static func loadPrivateTargets(_ values: inout ConfigurationValues) throws(ConfigurationError) -> [PrivateTarget] {
        var targets: [PrivateTarget] = []
        for text in try values.list("egress.privateTargets") {
            let consumers = PrivateTarget.Consumer.allCases.map(\.rawValue).joined(separator: ", ")
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let consumer = PrivateTarget.Consumer(rawValue: parts[0]), let colon = parts[1].lastIndex(of: ":"),
                let port = Int(parts[1][parts[1].index(after: colon)...]), (1...65535).contains(port), colon != parts[1].startIndex
            else {
                throw ConfigurationError(
                    "\(values.named("egress.privateTargets")) holds '\(text)', but an entry reads consumer=host:port with a consumer out of \(consumers)."
                )
            }
            var host = String(parts[1][..<colon])
            if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
            guard !NetworkBlock.neverAllowed.contains(where: { $0.contains(host) }) else {
                throw ConfigurationError(
                    "\(values.named("egress.privateTargets")) holds '\(text)': link-local and metadata addresses cannot be allowed.")
            }
            targets.append(PrivateTarget(consumer: consumer, host: host, port: port))
        }
        return targets
    }

    private static func loadLimits(_ values: inout ConfigurationValues) throws(ConfigurationError) -> Limits {
        Limits(
            apiPerMinute: try values.requiredInteger("limits.apiPerMinute"),
            chatPerMinute: try values.requiredInteger("limits.chatPerMinute"),
            providerCallsPerMinute: try values.requiredInteger("limits.providerCallsPerMinute"),
            loginPerMinute: try values.requiredInteger("limits.loginPerMinute"),
            unauthenticatedPerMinute: try values.requiredInteger("limits.unauthenticatedPerMinute"),
            webhookPerMinute: try values.requiredInteger("limits.webhookPerMinute"),
            gatewayPerMinute: try values.requiredInteger("limits.gatewayPerMinute"),
            gatewayConcurrent: try values.requiredInteger("limits.gatewayConcurrent"))
    }

    // MARK: - Pieces

    private static func choice<T: RawRepresentable>(_ type: T.Type, _ name: String, default usual: T? = nil, _ values: inout ConfigurationValues)
        throws(ConfigurationError) -> T
    where T.RawValue == String {
        guard let value = T(rawValue: try values.required(name, default: usual?.rawValue)) else {
            throw ConfigurationError("\(values.named(name)) has a value that this version does not know.")
        }
        return value
    }

    /// An absolute URL without query, fragment, user and trailing slash.
    private static func url(_ name: String, default usual: String? = nil, schemes: [String] = ["https", "http"], _ values: inout ConfigurationValues)
        throws(ConfigurationError) -> String?
    {
        guard let text = try values.text(name, default: usual) else { return nil }
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(), schemes.contains(scheme), let host = parts.host,
            !host.isEmpty,
            parts.query == nil, parts.fragment == nil, parts.user == nil, parts.password == nil, (1...65535).contains(parts.port ?? 443)
        else {
            throw ConfigurationError("\(values.named(name)) must be a URL such as \(schemes[0])://host/path, without user, query and fragment.")
        }
        return text.hasSuffix("/") ? String(text.reversed().drop { $0 == "/" }.reversed()) : text
    }

    private static func requiredURL(_ name: String, _ values: inout ConfigurationValues) throws(ConfigurationError) -> String {
        guard let url = try url(name, &values) else { throw ConfigurationError("\(name) is missing: set it in \(values.place(name)).") }
        return url
    }
}
