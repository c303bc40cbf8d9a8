import Foundation
import Pace
import Testing

@testable import Platform

@Suite(.paced) struct ConfigurationTests {
    /// A YAML text as a file for the time of one test.
    private func load(_ yaml: String?, _ environment: [String: String] = [:]) throws -> PlatformConfiguration {
        guard let yaml else { return try PlatformConfiguration.load(path: nil, environment: environment) }
        return try withFile(yaml) { try PlatformConfiguration.load(path: $0, environment: environment) }
    }
    private func withFile<T>(_ text: String, _ body: (String) throws -> T) throws -> T {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("clawbot-\(UUID().uuidString).yaml")
        try Data(text.utf8).write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        return try body(url.path)
    }
    /// The sentence with which a start is refused.
    private func refusal(_ yaml: String?, _ environment: [String: String] = [:]) -> String {
        do {
            _ = try load(yaml, environment)
            return "accepted"
        } catch let error as ConfigurationError {
            return error.sentence
        } catch {
            return "another error: \(error)"
        }
    }

    @Test("without a file everything has the laptop's defaults")
    func defaults() throws {
        let configuration = try load(nil)
        #expect(configuration.stage == "local")
        #expect(configuration.server.host == "127.0.0.1" && configuration.server.port == 8787)
        #expect(configuration.server.publicBaseURL == "http://127.0.0.1:8787")
        #expect(configuration.identity.issuer == "http://127.0.0.1:8787")
        #expect(configuration.records == .sqlite && configuration.objects == .filesystem && configuration.live == .memory)
        #expect(configuration.compute.maxTasks == 16 && configuration.compute.minWarmTasks == 2)
        #expect(configuration.compute.idleTimeout == .seconds(900))
        #expect(configuration.scheduler.grace == .seconds(3600))
        #expect(configuration.channels.telegram.fileBaseURL == "https://api.telegram.org")
        #expect(configuration.channels.discord.cdnHosts == ["cdn.discordapp.com", "media.discordapp.net"])
        #expect(configuration.limits.webhookPerMinute == 1200)
        #expect(configuration.admin.email == "admin@localhost" && configuration.admin.password == nil)
        #expect(!configuration.anthropic.isConfigured)
    }

    @Test("the environment overrides the file, and each value tells where it came from")
    func origins() throws {
        let yaml = "server:\n  port: 9000\n  publicBaseURL: https://bots.example.com/\n  trustedProxies: [10.0.0.0/8]\nstage: dev\n"
        try withFile(yaml) { path in
            let configuration = try PlatformConfiguration.load(
                path: path,
                environment: [
                    "CLAWBOT_SERVER_PORT": "9001", "CLAWBOT_SERVER_CORS_ORIGINS": "https://a.example.com, https://b.example.com", "CLAWBOT_STAGE": "",
                ])
            #expect(configuration.server.port == 9001)
            #expect(configuration.server.publicBaseURL == "https://bots.example.com")
            #expect(configuration.server.corsOrigins == ["https://a.example.com", "https://b.example.com"])
            #expect(configuration.server.trustedProxies.first?.contains("10.20.30.40") == true)
            let origins = Dictionary(uniqueKeysWithValues: configuration.explain().map { ($0.key, $0.origin) })
            #expect(origins["server.port"] == .environment(variable: "CLAWBOT_SERVER_PORT"))
            #expect(origins["stage"] == .file(path))
            #expect(origins["server.host"] == .fallback)
        }
    }

    @Test("explain names every key once, in the order of the table, and shows no secret")
    func explain() throws {
        let canary = "canary-\(UUID().uuidString)"
        let configuration = try load(
            "ops:\n  token: \(canary)\n", ["ANTHROPIC_API_KEY": canary, "CLAWBOT_POSTGRES_URL": "postgres://u:\(canary)@h/d"])
        #expect(configuration.explain().map(\.key) == ConfigurationKey.table.map(\.name))
        #expect(!String(describing: configuration.explain()).contains(canary))
        #expect(!String(reflecting: configuration).contains(canary))
        #expect(configuration.explain().first { $0.key == "ops.token" }?.value == "‹redacted›")
        #expect(configuration.explain().first { $0.key == "origin.verifySecret" }?.value == nil)
        #expect(configuration.anthropic.apiKey?.reveal() == canary)
    }

    @Test("a secret can come from the file that …_FILE names, but not from both places")
    func secretFiles() throws {
        try withFile("a-token-of-some-length\n") { path in
            let configuration = try load(nil, ["CLAWBOT_OPS_TOKEN_FILE": path])
            #expect(configuration.opsToken?.reveal() == "a-token-of-some-length")
            #expect(configuration.explain().first { $0.key == "ops.token" }?.origin == .secretFile(variable: "CLAWBOT_OPS_TOKEN_FILE", path: path))
            #expect(
                refusal(nil, ["CLAWBOT_OPS_TOKEN_FILE": path, "CLAWBOT_OPS_TOKEN": "another-token-of-length"]).contains("Both CLAWBOT_OPS_TOKEN and"))
            #expect(try load(nil, ["ADMIN_PASSWORD_FILE": path]).admin.password?.reveal() == "a-token-of-some-length")
        }
        #expect(refusal(nil, ["CLAWBOT_OPS_TOKEN_FILE": "/nowhere/token"]).contains("CLAWBOT_OPS_TOKEN_FILE names /nowhere/token does not exist"))
        #expect(refusal(nil, ["CLAWBOT_SERVER_PORT_FILE": "/x"]).contains("CLAWBOT_SERVER_PORT_FILE is no configuration key"))
    }

    @Test("unknown keys and variables are refused with their place and the nearest known name")
    func unknownKeys() {
        let nested = refusal("server:\n  prot: 80\n")
        #expect(nested.contains("server.prot (") && nested.contains("line 2") && nested.contains("did you mean server.port?"))
        #expect(refusal("sevrer:\n  port: 80\n").contains("sevrer ("))
        #expect(refusal("server:\n  port:\n    deep: 1\n").contains("server.port"))
        #expect(refusal("server: 5\n").contains("must be a section"))
        #expect(refusal("nonsense:\n").contains("nonsense ("))
        #expect(refusal("ADMIN_EMAIL: a@b\n").contains("ADMIN_EMAIL ("))
        let variable = refusal(nil, ["CLAWBOT_SERVER_PUBLIC_BASEURL": "http://x"])
        #expect(variable.contains("CLAWBOT_SERVER_PUBLIC_BASEURL") && variable.contains("did you mean CLAWBOT_SERVER_PUBLIC_BASE_URL?"))
        #expect(refusal(nil, ["CLAWBOT_PROCESS_KEY": "x", "CLAWBOT_AGENT_SOCKET": "y", "CLAWBOT_CONFIG": "z"]) == "accepted")
    }

    @Test("sections with nothing in them are as good as absent")
    func emptySections() throws {
        #expect(try load("server:\nlimits:\n  # all commented out\nstage:\n").stage == "local")
        #expect(try load("").stage == "local")
        #expect(try load("# nothing\n").server.port == 8787)
    }

    @Test(
        "values of the wrong type or range are refused with key and place",
        arguments: [
            ("server:\n  port: many\n", "server.port cannot be read: expected an integer"),
            ("server:\n  port: 70000\n", "server.port is 70000"),
            ("server:\n  corsOrigins: https://a\n", "server.corsOrigins cannot be read: expected a list"),
            ("server:\n  host: [a]\n", "server.host cannot be read: expected a single text"),
            ("records:\n  backend: mysql\n", "records.backend is 'mysql', but must be one of sqlite, postgres, dynamodb"),
            ("log:\n  level: loud\n", "log.level is 'loud'"),
            ("stage: Prod\n", "stage ("),
            ("stage: a-b\n", "stage ("),
            ("channels:\n  telegram:\n    apiBaseURL: api.telegram.org\n", "channels.telegram.apiBaseURL ("),
            ("channels:\n  whatsapp:\n    graphVersion: latest\n", "channels.whatsapp.graphVersion ("),
            ("stage: [\n", "is not YAML"),
            ("stage: a\nstage: b\n", "has a key twice"),
            ("- a\n- b\n", "top level must be keys"),
        ])
    func wrongValues(yaml: String, expected: String) {
        let sentence = refusal(yaml)
        #expect(sentence.contains(expected), "\(sentence)")
        #expect(sentence.contains(".yaml") && sentence.hasSuffix(".") && !sentence.contains("\n"), "\(sentence)")
    }

    @Test("SEC-04 a bind that others can reach needs TLS or trusted proxies, and an https public URL")
    func SEC_04_publicBind() throws {
        #expect(refusal("server:\n  host: 0.0.0.0\n").contains("server.host ("))
        #expect(refusal(nil, ["CLAWBOT_SERVER_HOST": "::"]).contains("CLAWBOT_SERVER_HOST"))
        let proxied = "server:\n  host: 0.0.0.0\n  trustedProxies: [10.0.0.1]\n"
        #expect(refusal(proxied).contains("server.publicBaseURL is missing"))
        #expect(refusal(proxied + "  publicBaseURL: http://bots.example.com\n").contains("must begin with https://"))
        #expect(try load(proxied + "  publicBaseURL: https://bots.example.com\n").identity.issuer == "https://bots.example.com")
        #expect(refusal("server:\n  tls:\n    keyFile: a.pem\n").contains("server.tls.certificateFile is missing"))
        #expect(refusal("server:\n  trustedProxies: [everyone]\n").contains("'everyone'"))
        #expect(refusal("server:\n  corsOrigins: ['*']\n").contains("server.corsOrigins"))
        #expect(refusal("server:\n  corsOrigins: ['https://a.example.com/path']\n").contains("server.corsOrigins"))
    }

    @Test("SEC-04 each missing part of an issuer, and each short or sample secret, stops the start")
    func SEC_04_secretsAndIssuer() {
        let cognito = "identity:\n  backend: cognito\naws:\n  region: eu-central-1\n"
        #expect(refusal(cognito).contains("identity.issuer is missing"))
        #expect(refusal(cognito, ["CLAWBOT_IDENTITY_ISSUER": "https://issuer.example.com/pool"]).contains("identity.clientId is missing"))
        #expect(refusal(nil, ["CLAWBOT_IDENTITY_ISSUER": "http://issuer.example.com"]).contains("identity.issuer"))
        #expect(refusal("secrets:\n  masterKeyFile: a\n  masterKeyCommand: b\n").contains("exclude each other"))
        #expect(refusal(nil, ["CLAWBOT_OPS_TOKEN": "short"]).contains("ops.token (environment variable CLAWBOT_OPS_TOKEN) is too short"))
        #expect(refusal(nil, ["CLAWBOT_OPS_TOKEN": "changeme-changeme-1"]).contains("sample"))
        #expect(refusal(nil, ["ADMIN_PASSWORD": "short"]).contains("ADMIN_PASSWORD"))
        #expect(!refusal(nil, ["ADMIN_PASSWORD": "tiny-canary"]).contains("tiny-canary"))
    }

    @Test("SEC-44 private targets name consumer, host and port; link-local and metadata addresses cannot be allowed")
    func SEC_44_privateTargets() throws {
        let configuration = try load("egress:\n  privateTargets: ['providers=10.1.2.3:443', 'search=[fd12::1]:8080']\n")
        #expect(configuration.privateTargets.map(\.host) == ["10.1.2.3", "fd12::1"])
        for address in ["169.254.169.254:80", "[fe80::1]:80", "[fd00:ec2::254]:80", "[::ffff:169.254.169.254]:80"] {
            #expect(refusal(nil, ["CLAWBOT_EGRESS_PRIVATE_TARGETS": "providers=\(address)"]).contains("cannot be allowed"))
        }
        #expect(refusal(nil, ["CLAWBOT_EGRESS_PRIVATE_TARGETS": "tenants=10.1.2.3:443"]).contains("consumer=host:port"))
        #expect(refusal(nil, ["CLAWBOT_EGRESS_PRIVATE_TARGETS": "providers=10.1.2.3"]).contains("consumer=host:port"))
    }

    @Test("backends may be mixed per port, but not impossibly")
    func mixes() throws {
        #expect(refusal("records:\n  backend: postgres\n").contains("postgres.url is missing: records.backend ("))
        let mixed = try load(
            "records: {backend: postgres}\nobjects: {backend: s3}\naws: {region: eu-central-1}\n", ["CLAWBOT_POSTGRES_URL": "postgres://db/x"])
        #expect(mixed.records == .postgres && mixed.objects == .s3 && mixed.queue == .sqlite)
        #expect(refusal("objects: {backend: s3}\n").contains("aws.region is missing"))
        #expect(refusal("scheduler: {backend: eventbridge}\naws: {region: eu-central-1}\n").contains("fires into SQS only"))
        #expect(refusal("compute: {backend: ecs}\naws: {region: eu-central-1}\n").contains("cannot reach"))
        #expect(refusal("compute: {backend: container, sandbox: none}\n").contains("compute.sandbox"))
        #expect(refusal("compute: {minWarmTasks: 20}\n").contains("compute.minWarmTasks"))
        for path in ["relative", "/", "/etc/ssl", "/opt/../root", "/workspace/x", "/opt//mcp", "/home/agent/x"] {
            #expect(refusal("compute: {readOnlyPaths: ['\(path)']}\n").contains("compute.readOnlyPaths"), "\(path)")
        }
        #expect(refusal("compute: {readOnlyPaths: [/opt/mcp]}\n") == "accepted")
        #expect(refusal("server: {agentPort: 8787}\n").contains("two listeners"))
        #expect(refusal("tools: {search: {baseURL: 'https://s', command: 's'}}\n").contains("exclude each other"))
        #expect(refusal("tools: {search: {apiKey: 'abc'}}\n").contains("tools.search.baseURL is missing"))
    }

    @Test("a file that is absent, a directory or not text is refused by its path")
    func badFiles() throws {
        for path in ["/nowhere/clawbot.yaml", FileManager.default.temporaryDirectory.path] {
            #expect(throws: ConfigurationError.self) { try PlatformConfiguration.load(path: path, environment: [:]) }
        }
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("clawbot-\(UUID().uuidString).yaml")
        try Data([0xff, 0xfe, 0x00, 0x81]).write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        #expect(throws: ConfigurationError.self) { try PlatformConfiguration.load(path: url.path, environment: [:]) }
    }

    @Test("configs/local.yaml loads, is the laptop's defaults, and shows every key")
    func localFile() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let path = root.appendingPathComponent("configs/local.yaml").path
        let fromFile = try PlatformConfiguration.load(path: path, environment: [:]).explain()
        #expect(fromFile.map(\.value) == (try load(nil)).explain().map(\.value))
        // With all commented keys switched on there is none that the table does not know, and none of the table is missing.
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let all = text.replacing(/(?m)^(\s*)# (\s*[a-zA-Z]+:( \S.*)?)$/) { "\($0.1)\($0.2)" }
        try withFile(all) { path in
            var values = try ConfigurationValues(path: path, environment: [:])
            for key in ConfigurationKey.table where key.inFile {
                switch key.kind {
                case .integer: _ = try values.integer(key.name)
                case .list: _ = try values.list(key.name)
                case .secret: _ = try values.secret(key.name)
                default: _ = try values.text(key.name)
                }
                #expect(values.origin(key.name) == .file(path), "\(key.name) is not shown in configs/local.yaml")
            }
        }
    }

    @Test("every key has its own variable, encoded as swift-configuration does")
    func variables() throws {
        #expect(ConfigurationKey.variable(for: "server.publicBaseURL") == "CLAWBOT_SERVER_PUBLIC_BASE_URL")
        #expect(ConfigurationKey.variable(for: "compute.memoryMB") == "CLAWBOT_COMPUTE_MEMORY_MB")
        #expect(Set(ConfigurationKey.table.map(\.variable)).count == ConfigurationKey.table.count)
        // Set through its variable, every text, choice and integer is seen by the provider, which encodes for itself.
        for key in ConfigurationKey.table where key.kind != .list && key.kind != .secret {
            var values = try ConfigurationValues(path: nil, environment: [key.variable: value(for: key)])
            if case .integer = key.kind { _ = try values.integer(key.name) } else { _ = try values.text(key.name) }
            #expect(values.origin(key.name) == .environment(variable: key.variable))
        }
    }
    private func value(for key: ConfigurationKey) -> String {
        switch key.kind {
        case .choice(let choices): choices[0]
        case .integer(let range): String(range.upperBound)
        default: "text"
        }
    }
}
