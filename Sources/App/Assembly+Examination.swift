import AsyncHTTPClient
import ControlPlane
import Foundation
import LocalBackend
import Logging
import Platform

/// What `clawbot doctor` looks at, in the order in which it is printed. Makes nothing, repairs nothing.
struct Examination: Sendable {
    let settings: PlatformConfiguration
    let online: Bool
    private var data: URL { URL(fileURLWithPath: settings.dataDirectory) }
    private static let quiet = Logger(label: "doctor") { _ in SwiftLogNoOpLogHandler() }

    init(settings: PlatformConfiguration, online: Bool) { self.settings = settings; self.online = online }

    func run() async -> [Finding] {
        let http = HTTPClient(eventLoopGroup: .singletonMultiThreadedEventLoopGroup)
        var findings: [Finding] = []
        let server = await askServer(http)
        findings += server.findings
        findings += await stores(isServed: server.isOurs)
        findings += await compute()
        findings.append(claudeCLI())
        findings += address()
        findings += [disk(), clock()] + modes() + [backups()]
        if online { findings += await services(http) }
        findings.append(Finding(
            "model", .note, settings.anthropic.isConfigured ? "a key is in the environment (used at the first start)" : "no key in the environment: a fresh installation starts with the demo"))
        do { try await http.shutdown() } catch { findings.append(Finding("doctor", .note, "its own HTTP client did not end: \(error)")) }
        return findings
    }

    // MARK: The server

    /// What a running server says of itself. `isOurs`: it holds this data directory.
    private func askServer(_ http: HTTPClient) async -> (findings: [Finding], isOurs: Bool) {
        let holder = DataHolder.processID(of: data)
        let host = settings.server.isLoopback ? (settings.server.host.contains(":") ? "[\(settings.server.host)]" : settings.server.host) : "127.0.0.1"
        let base = "http://\(host):\(settings.server.port)"
        guard let answer = try? await http.execute(HTTPClientRequest(url: base + "/ready"), timeout: .seconds(5)),
            let body = try? await answer.body.collect(upTo: 1 << 16), let value = try? JSON.value(Data(body.readableBytesView)), let status = value["status"]?.string
        else {
            if let holder { return ([Finding("server", .warning, "process \(holder) holds the data, but nothing answers at \(base)")], true) }
            return ([Finding("server", .note, "none answers at \(base)")], false)
        }
        var findings = [Finding("server", status == "ready" ? .ok : .warning, "\(status) at \(base)")]
        for check in value["checks"]?.array ?? [] {
            let state = check["status"]?.string ?? "?", name = check["name"]?.string ?? "?"
            let isBroken = state == "down" && check["critical"]?.bool == true
            findings.append(Finding(name, state == "ok" ? .ok : isBroken ? .broken : .warning, "\(state), says the running server (\(check["latencyMs"]?.int ?? 0) ms)"))
        }
        return (findings, holder != nil)
    }

    // MARK: What is stored

    private func stores(isServed: Bool) async -> [Finding] {
        guard settings.records == .sqlite else { return [Finding("data", .note, "\(settings.records.rawValue) is not looked at by this version")] }
        guard FileManager.default.fileExists(atPath: data.appendingPathComponent("clawbot.sqlite").path) else {
            return [Finding("data", .ok, "\(data.path) holds none yet; the first start makes it")]
        }
        // A copy is looked at, so that a running server is not disturbed and nothing of the original is touched.
        let snapshot: DatabaseSnapshot
        do { snapshot = try DatabaseSnapshot.take(of: data) } catch { return [Finding("records", .broken, sentence(error))] }
        defer { snapshot.remove() }
        var findings: [Finding] = []
        do {
            let database = try LocalDatabase(directory: snapshot.directory)
            defer { try? database.close() }
            let records = SQLiteRecordStore(database)
            try await records.prepare(Tables.all)
            findings.append(Finding("records", .ok, "the database is readable and consistent (schema \(snapshot.schema))"))
            findings += await secrets(records)
            findings += await contents(records)
        } catch { findings.append(Finding("records", .broken, sentence(error))) }
        if !isServed {
            do {
                let objects = try FileObjectStore(directory: data.appendingPathComponent("objects"), logger: Self.quiet)
                try await objects.probe()
                findings.append(Finding("objects", .ok, "a file can be written"))
            } catch { findings.append(Finding("objects", .broken, sentence(error))) }
        }
        return findings
    }

    /// Opens every stored secret.
    private func secrets(_ records: any RecordStore) async -> [Finding] {
        do {
            let file = MasterKeyFile(path: settings.dataDirectory + "/master.key")
            guard let keys = try Installation.masterKeys(settings) ?? file.read() else {
                return [Finding("secrets", .broken, "there is no master key at \(file.path); without it no stored credential can be read")]
            }
            let store = try await EncryptedSecretStore.open(records, keys: keys)
            let names = try await store.list(prefix: "")
            var broken: [SecretName] = []
            for name in names {
                do { if try await store.get(name) == nil { broken.append(name) } } catch { broken.append(name) }
            }
            var findings = broken.isEmpty
                ? [Finding("secrets", .ok, "all \(names.count) open with the master key \(keys.current.id)")]
                : [Finding("secrets", .broken, "\(broken.count) of \(names.count) do not open, first \(broken[0]): enter them again, or restore a backup")]
            for needed in ["\(settings.stage)/platform-keys", "\(settings.stage)/signing-keys"] where !names.contains(SecretName(needed)) {
                findings.append(Finding("identity", .warning, "\(needed) is not there; the next start makes it, and who is signed in has to sign in again"))
            }
            if !findings.contains(where: { $0.name == "identity" }) { findings.append(Finding("identity", .ok, "signing and platform keys are there")) }
            return findings
        } catch { return [Finding("secrets", .broken, sentence(error))] }
    }

    private func contents(_ records: any RecordStore) async -> [Finding] {
        var findings: [Finding] = []
        do {
            let health = try await Installation.channelHealth(records)
            let broken = health.filter { $0.working < $0.all }
            findings.append(broken.isEmpty
                ? Finding("channels", .ok, health.isEmpty ? "none is connected but web chat" : health.map { "\($0.type.rawValue) \($0.all)" }.joined(separator: ", "))
                : Finding("channels", .warning, broken.map { "\($0.type.rawValue): \($0.all - $0.working) of \($0.all) unhealthy" }.joined(separator: ", ")))
            let dead = try await records.query(RecordQuery(Tables.deadLetters, partition: "platform", limit: 200)).records.count
            if dead > 0 { findings.append(Finding("deadLetters", .warning, "\(dead == 200 ? "200 or more" : String(dead)) wait for a decision: GET /api/admin/dead-letters")) }
        } catch { findings.append(Finding("channels", .broken, sentence(error))) }
        findings.append(await audit(records))
        return findings
    }

    /// Follows every audit trail's chain (SEC-124).
    private func audit(_ records: any RecordStore) async -> Finding {
        let trail = AuditTrail(records: records)
        var owners = [AuditEntry.platform], cursor: String?
        do {
            repeat {
                let page = try await records.scan(Tables.users, limit: 500, cursor: cursor)
                owners += page.records.map(\.key.partition)
                cursor = page.cursor
            } while cursor != nil
            for owner in owners {
                if let damage = try await trail.damage(of: owner, at: Date()) { return Finding("audit", .broken, "the trail of \(owner) is not whole: \(damage)") }
            }
            return Finding("audit", .ok, "\(owners.count) trails are whole")
        } catch { return Finding("audit", .broken, sentence(error)) }
    }

    // MARK: The machine

    /// Builds a real sandbox and runs in it.
    private func claudeCLI() -> Finding {
        switch ClaudeCLI.locate(settings.compute) {
        case .found(let path): Finding("claude-code", .ok, "agents are given \(path)")
        // Named by the operator and not there: an error; not named: a choice.
        case .absent(let why): Finding("claude-code", settings.compute.claudeCLI == nil ? .note : .broken, why)
        }
    }

    private func compute() async -> [Finding] {
        do {
            let launcher = try await Installation.processLauncher(settings, executable: Executable.path, data: data, logger: Self.quiet)
            do { try await launcher.preflight() } catch {
                await launcher.shutdown()
                throw error
            }
            await launcher.shutdown()
            let isolated = launcher.isolation >= .namespaces
            return [Finding("sandbox", isolated ? .ok : .warning, isolated ? "a process was started in it (\(launcher.isolation))" : "agents run WITHOUT a sandbox (compute.sandbox: none)")]
                + launcher.remarks.map { Finding("sandbox", .note, $0) }
        } catch ComputeError.isolationUnavailable(let reason) { return [Finding("sandbox", .broken, reason)] } catch {
            return [Finding("sandbox", .broken, sentence(error))]
        }
    }

    private func address() -> [Finding] {
        guard let text = settings.server.publicBaseURL, let url = URL(string: text) else {
            return [Finding("address", .broken, "server.publicBaseURL is not set")]
        }
        let isLocal = ["127.0.0.1", "localhost", "[::1]", "::1"].contains(url.host ?? "")
        if isLocal { return [Finding("address", .note, "\(text) is this machine only: messaging services cannot call webhooks here, polling works")] }
        if url.scheme != "https" { return [Finding("address", .broken, "\(text) is not https, so tokens would travel in clear")] }
        return [Finding("address", .ok, text)]
    }

    private func disk() -> Finding {
        var folder = data
        while !FileManager.default.fileExists(atPath: folder.path), folder.path != "/" { folder.deleteLastPathComponent() }
        guard let free = DiskSpace.free(at: folder.path) else { return Finding("disk", .warning, "the free space of \(folder.path) cannot be told") }
        let text = "\(DiskSpace.text(free)) free for \(data.path)"
        return Finding("disk", free < 100 << 20 ? .broken : free < 1 << 30 ? .warning : .ok, text)
    }

    /// Signatures and tokens of services are refused when the clock is off; a file of this moment shows a clock that was never set.
    private func clock() -> Finding {
        let now = Date()
        let built = (try? FileManager.default.attributesOfItem(atPath: Executable.path))?[.modificationDate] as? Date
        if let built, now < built - 86_400 { return Finding("clock", .broken, "it reads \(Timestamp.text(now)), before this program was built: set it") }
        return Finding("clock", .ok, "\(Timestamp.text(now)), time zone \(TimeZone.current.identifier)")
    }

    private func modes() -> [Finding] {
        func mode(_ path: String) -> Int? { ((try? FileManager.default.attributesOfItem(atPath: path))?[.posixPermissions] as? NSNumber)?.intValue }
        var findings: [Finding] = []
        for (path, what) in [(data.path, "the data directory"), (settings.secrets.masterKeyFile ?? data.path + "/master.key", "the master key")] {
            guard let found = mode(path) else { continue }
            let isPrivate = found & 0o077 == 0
            findings.append(Finding(
                "modes", isPrivate ? .ok : .broken, "\(what) \(path) has mode \(String(found, radix: 8))\(isPrivate ? "" : ": others can read it; run chmod go= on it")"))
        }
        return findings
    }

    private func backups() -> Finding {
        guard FileManager.default.fileExists(atPath: data.appendingPathComponent("clawbot.sqlite").path) else { return Finding("backup", .note, "there is nothing to save yet") }
        guard let bytes = FileManager.default.contents(atPath: data.appendingPathComponent(InstallationBackup.lastName).path), let value = try? JSON.value(bytes),
            let at = value["at"]?.string.flatMap(Timestamp.date)
        else { return Finding("backup", .warning, "none was ever made with `clawbot backup` (docs/backup.md)") }
        let days = Int(Date().timeIntervalSince(at) / 86_400)
        let age = days < 1 ? "less than a day" : days == 1 ? "a day" : "\(days) days"
        return Finding("backup", days > 7 ? .warning : .ok, "the last one is \(age) old: \(value["file"]?.string ?? "?")")
    }

    // MARK: Elsewhere

    private func services(_ http: HTTPClient) async -> [Finding] {
        var findings: [Finding] = []
        for (name, base) in [("telegram", settings.channels.telegram.apiBaseURL)] { findings.append(await reach(http, name, base)) }
        if let model = settings.anthropic.baseURL ?? (settings.anthropic.isConfigured ? "https://api.anthropic.com" : nil) { findings.append(await reach(http, "provider", model)) }
        return findings
    }

    /// Any answer will do: it says that name, route and TLS work. No credential is sent.
    private func reach(_ http: HTTPClient, _ name: String, _ base: String) async -> Finding {
        do {
            let answer = try await http.execute(HTTPClientRequest(url: base), timeout: .seconds(10))
            return Finding(name, .ok, "\(base) answers (\(answer.status.code))")
        } catch { return Finding(name, .warning, "\(base) cannot be reached: \(error)") }
    }

    private func sentence(_ error: any Error) -> String {
        switch error {
        case SecretStoreError.masterKey(let text), SecretStoreError.unavailable(let text), RecordStoreError.unavailable(let text), ObjectStoreError.unavailable(let text): text
        case SecretStoreError.cannotOpen(let name): "the secret \(name) cannot be opened"
        default: "\(error)"
        }
    }
}
