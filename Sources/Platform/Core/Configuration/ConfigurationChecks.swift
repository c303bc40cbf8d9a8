import Foundation

extension PlatformConfiguration {
    /// Refuses what each key alone allows but what together cannot work or is not safe (SEC-04).
    func check(_ values: ConfigurationValues) throws(ConfigurationError) {
        try checkNames(values)
        try checkServer(values)
        try checkBackends(values)
        try checkSecrets(values)
    }

    private func checkNames(_ values: ConfigurationValues) throws(ConfigurationError) {
        guard stage.wholeMatch(of: /[a-z][a-z0-9]{0,15}/) != nil else {
            throw ConfigurationError("\(values.named("stage")) is '\(stage)', but must be 1 to 16 lower-case letters and digits, a letter first.")
        }
        guard channels.whatsapp.graphVersion.wholeMatch(of: /v\d{1,3}\.\d{1,3}/) != nil else {
            throw ConfigurationError("\(values.named("channels.whatsapp.graphVersion")) must read like v26.0.")
        }
        guard admin.email.wholeMatch(of: /[^@\s]+@[^@\s]+/) != nil else {
            throw ConfigurationError("\(values.named("ADMIN_EMAIL")) is no e-mail address.")
        }
    }

    private func checkServer(_ values: ConfigurationValues) throws(ConfigurationError) {
        if !server.isLoopback {
            guard server.tls != nil || !server.trustedProxies.isEmpty else {
                throw ConfigurationError(
                    "\(values.named("server.host")) is '\(server.host)', which others can reach: set server.tls.certificateFile and server.tls.keyFile, or "
                        + "server.trustedProxies for the proxy that ends TLS, in \(values.path ?? "the configuration file").")
            }
            guard server.publicBaseURL != nil else {
                throw ConfigurationError(
                    "server.publicBaseURL is missing: with \(values.named("server.host")) = '\(server.host)' set it in \(values.place("server.publicBaseURL"))."
                )
            }
        }
        for (name, url) in [("server.publicBaseURL", server.publicBaseURL), ("identity.issuer", identity.issuer), ("identity.remote", identity.remote)] {
            guard let url, let parts = URLComponents(string: url), parts.scheme?.lowercased() != "https" else { continue }
            guard NetworkBlock.isLoopback(host: parts.host ?? "") else {
                throw ConfigurationError("\(values.named(name)) is '\(url)', but must begin with https:// unless its host is this machine.")
            }
        }
        for origin in server.corsOrigins {
            guard origin != "*" else {
                throw ConfigurationError("\(values.named("server.corsOrigins")) holds '*': name each origin, such as https://console.example.com.")
            }
            guard origin.wholeMatch(of: /https?:\/\/[^\/?#@\s*]+/) != nil else {
                throw ConfigurationError(
                    "\(values.named("server.corsOrigins")) holds '\(origin)', but an origin is a scheme and a host, such as https://console.example.com."
                )
            }
        }
        if let agentPort = server.agentPort, agentPort == server.port {
            throw ConfigurationError(
                "\(values.named("server.agentPort")) and \(values.named("server.port")) are both \(agentPort): they are two listeners.")
        }
    }

    private func checkBackends(_ values: ConfigurationValues) throws(ConfigurationError) {
        let onPostgres = [
            ("records.backend", records == .postgres), ("queue.backend", queue == .postgres), ("scheduler.backend", scheduler.backend == .postgres),
            ("objects.backend", objects == .postgres), ("live.backend", live == .postgres),
        ]
        if postgresURL == nil, let (name, _) = onPostgres.first(where: \.1) {
            throw ConfigurationError("postgres.url is missing: \(values.named(name)) is postgres; set it in \(values.place("postgres.url")).")
        }
        let onAWS = [
            ("records.backend", records == .dynamodb), ("queue.backend", queue == .sqs), ("scheduler.backend", scheduler.backend == .eventbridge),
            ("objects.backend", objects == .s3), ("secrets.backend", secrets.backend == .secretsmanager),
            ("compute.backend", compute.backend == .ecs || compute.backend == .agentcore), ("identity.backend", identity.backend == .cognito),
        ]
        if awsRegion == nil, let (name, _) = onAWS.first(where: \.1) {
            throw ConfigurationError("aws.region is missing: \(values.named(name)) needs it; set it in \(values.place("aws.region")).")
        }
        if scheduler.backend == .eventbridge, queue != .sqs {
            throw ConfigurationError(
                "\(values.named("scheduler.backend")) is eventbridge, which fires into SQS only, but \(values.named("queue.backend")) is \(queue.rawValue)."
            )
        }
        if compute.backend == .ecs || compute.backend == .agentcore, server.isLoopback {
            throw ConfigurationError(
                "\(values.named("compute.backend")) is \(compute.backend.rawValue), whose agents are elsewhere and cannot reach \(values.named("server.host")) = '\(server.host)'."
            )
        }
        if compute.backend != .process, values.origin("compute.sandbox") != .fallback {
            throw ConfigurationError(
                "\(values.named("compute.sandbox")) belongs to compute.backend process, but \(values.named("compute.backend")) is \(compute.backend.rawValue)."
            )
        }
        #if !os(Linux)
            if compute.backend == .process, compute.sandbox == .bubblewrap {
                throw ConfigurationError("\(values.named("compute.sandbox")) is bubblewrap, which only Linux has: use compute.backend container.")
            }
        #endif
        for path in compute.readOnlyPaths {
            let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
            let taken = ["proc", "dev", "sys", "tmp", "run", "etc", "workspace", "usr", "bin", "lib", "lib64", "sbin"]
            guard path.hasPrefix("/"), !parts.isEmpty, !parts.contains(where: { ["", ".", ".."].contains($0) }), !taken.contains(String(parts.first ?? "")),
                !path.hasPrefix("/home/agent"), !path.hasPrefix("/opt/clawbot")
            else {
                throw ConfigurationError(
                    "\(values.named("compute.readOnlyPaths")) holds '\(path)': name absolute directories outside of what the sandbox has itself, such as /opt/mcp.")
            }
        }
        guard compute.minWarmTasks <= compute.maxTasks else {
            throw ConfigurationError(
                "\(values.named("compute.minWarmTasks")) is \(compute.minWarmTasks), more than \(values.named("compute.maxTasks")) = \(compute.maxTasks)."
            )
        }
        guard compute.fileMB <= compute.workspaceMB else {
            throw ConfigurationError(
                "\(values.named("compute.fileMB")) is \(compute.fileMB), more than \(values.named("compute.workspaceMB")) = \(compute.workspaceMB).")
        }
        if identity.remote != nil, identity.backend != .local {
            throw ConfigurationError("\(values.named("identity.remote")) belongs to identity.backend local, but \(values.named("identity.backend")) is \(identity.backend.rawValue).")
        }
        if let remote = identity.remote, remote == server.publicBaseURL {
            throw ConfigurationError("\(values.named("identity.remote")) is this server's own address: name the one that `clawbot auth` listens at.")
        }
        if identity.backend == .cognito {
            guard values.origin("identity.issuer") != .fallback else {
                throw ConfigurationError(
                    "identity.issuer is missing: \(values.named("identity.backend")) is cognito; set it in \(values.place("identity.issuer")).")
            }
            guard identity.clientId != nil else {
                throw ConfigurationError(
                    "identity.clientId is missing: \(values.named("identity.backend")) is cognito; set it in \(values.place("identity.clientId")).")
            }
        }
    }

    private func checkSecrets(_ values: ConfigurationValues) throws(ConfigurationError) {
        if secrets.masterKeyFile != nil, secrets.masterKeyCommand != nil {
            throw ConfigurationError(
                "\(values.named("secrets.masterKeyFile")) and \(values.named("secrets.masterKeyCommand")) exclude each other: keep one.")
        }
        for (name, secret) in [("ops.token", opsToken), ("origin.verifySecret", originVerifySecret)] {
            guard let text = secret?.reveal() else { continue }
            guard text.utf8.count >= 16 else {
                throw ConfigurationError("\(values.named(name)) is too short: use at least 16 characters, at random.")
            }
            try refuseSample(text, name, values)
        }
        if let password = admin.password?.reveal() {
            guard (12...128).contains(password.count) else {
                throw ConfigurationError("\(values.named("ADMIN_PASSWORD")) must have 12 to 128 characters.")
            }
            try refuseSample(password, "ADMIN_PASSWORD", values)
        }
    }

    /// A secret that documentation shows is none.
    private func refuseSample(_ text: String, _ name: String, _ values: ConfigurationValues) throws(ConfigurationError) {
        let folded = text.lowercased().filter { $0.isLetter || $0.isNumber }
        let samples = ["changeme", "password", "secret", "example", "replaceme", "yoursecrethere", "sample"]
        let isSample =
            Set(folded).count <= 2 || samples.contains { sample in folded.replacingOccurrences(of: sample, with: "").allSatisfy(\.isNumber) }
        guard !isSample else { throw ConfigurationError("\(values.named(name)) is a sample value: choose one of your own, at random.") }
    }
}
