import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import AWSBackend

@Suite("AWS credentials", .paced) struct CredentialsTests {
    private struct Unreachable: Error {}
    private static let role = Data(#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t","Expiration":"2026-01-01T06:00:00Z"}"#.utf8)

    private func identity(
        _ environment: [String: String], files: [String: String] = [:], region: String? = nil,
        fetch: @escaping CredentialFetch = { _, _, _, _ in throw Unreachable() }
    ) -> AWSIdentity {
        // Nobody waits between tries here.
        AWSIdentity(region: region, environment: environment, fetch: fetch, read: { files[$0] }, time: Hurried())
    }
    /// Sleeps end at once.
    private struct Hurried: TimeSource {
        func now() -> Date { Date(timeIntervalSince1970: 1_767_225_600) }
        func sleep(until deadline: Date) async throws {}
    }
    private func error(_ identity: AWSIdentity) async -> String? {
        do { _ = try await identity.credentials.get(); return nil } catch { return "\(error)" }
    }

    @Test("the environment comes first; half of a pair is an error, not a reason to look elsewhere") func environment() async throws {
        let files = ["/home/.aws/credentials": "[default]\naws_access_key_id = FILE\naws_secret_access_key = x\n"]
        let both = identity(["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "", "HOME": "/home"], files: files)
        let found = try await both.credentials.get()
        #expect(found.accessKeyID == "ENV" && found.sessionToken == nil)
        #expect(await error(identity(["AWS_ACCESS_KEY_ID": "ENV", "HOME": "/home"], files: files))?.contains("AWS_SECRET_ACCESS_KEY") == true)
    }

    @Test("a profile's keys and region are read from both files") func profile() async throws {
        let files = [
            "/home/.aws/config": "[default]\nregion = eu-west-1\n\n[profile work]\n# note\nregion=us-west-2\ns3 =\n  region = nowhere\n",
            "/home/.aws/credentials": "[work]\naws_access_key_id=WORK\naws_secret_access_key = a=b\naws_session_token = t\n[default]\n",
        ]
        let work = identity(["HOME": "/home", "AWS_PROFILE": "work"], files: files)
        let found = try await work.credentials.get()
        #expect(found.accessKeyID == "WORK" && found.secretAccessKey.reveal() == "a=b" && found.sessionToken?.reveal() == "t")
        #expect(await work.region() == "us-west-2")
        #expect(await identity(["HOME": "/home"], files: files).region() == "eu-west-1")
        #expect(await identity(["HOME": "/home", "AWS_REGION": "ap-south-1"], files: files, region: "us-east-1").region() == "us-east-1")
        #expect(await error(identity(["HOME": "/home", "AWS_PROFILE": "other"], files: files))?.contains("no such profile") == true)
    }

    @Test("a profile that needs what is not built says so", arguments: ["role_arn = arn:x", "sso_session = x", "credential_process = /bin/x"])
    func unsupported(_ line: String) async {
        let said = await error(identity(["HOME": "/home"], files: ["/home/.aws/config": "[default]\n\(line)\n"]))
        #expect(said?.contains("not supported") == true && said?.contains("arn:x") == false)
    }

    @Test("a container's endpoint is asked with its token; plain http elsewhere is refused") func container() async throws {
        let asked = Mutex<[String]>([])
        let fetch: CredentialFetch = { method, url, headers, _ in
            asked.withLock { $0.append("\(method) \(url) \(headers.first?.1 ?? "")") }
            return (200, Self.role)
        }
        let relative = identity(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"], fetch: fetch)
        #expect(try await relative.credentials.get().accessKeyID == "ASIA")
        let full = identity(
            ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/c", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token"],
            files: ["/token": "pod-token\n"], fetch: fetch)
        #expect(try await full.credentials.get().sessionToken?.reveal() == "t")
        #expect(asked.withLock { $0 } == ["GET http://169.254.170.2/v2/x ", "GET http://127.0.0.1:1/c pod-token"])
        for wrong in ["http://example.com/c", "http://169.254.169.254/c", "ftp://127.0.0.1/", "http://u@127.0.0.1/"] {
            #expect(await error(identity(["AWS_CONTAINER_CREDENTIALS_FULL_URI": wrong], fetch: fetch))?.contains("FULL_URI") == true, "\(wrong)")
        }
        let split = identity(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nhost: b"], fetch: fetch)
        #expect(await error(split)?.contains("control characters") == true)
    }

    @Test("an instance's role is asked for with a token only; no instance is no error of its own") func instance() async throws {
        let asked = Mutex<[String]>([])
        let fetch: CredentialFetch = { method, url, headers, _ in
            asked.withLock { $0.append("\(method) \(url)") }
            if method == "PUT" { return (200, Data("tok".utf8)) }
            guard headers.contains(where: { $0 == ("x-aws-ec2-metadata-token", "tok") }) else { return (401, Data()) }
            if url.hasSuffix("/region") { return (200, Data("us-east-2\n".utf8)) }
            return url.hasSuffix("/security-credentials/") ? (200, Data("my-role\n".utf8)) : (200, Self.role)
        }
        let found = identity([:], fetch: fetch)
        #expect(try await found.credentials.get().accessKeyID == "ASIA")
        #expect(asked.withLock { $0.last } == "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/my-role")
        #expect(await found.region() == "us-east-2")
        #expect(await error(identity([:]))?.contains("No AWS credentials were found") == true)
        let count = asked.withLock { $0.count }
        #expect(await error(identity(["AWS_EC2_METADATA_DISABLED": "true"], fetch: fetch))?.contains("No AWS credentials") == true)
        #expect(asked.withLock { $0.count } == count)
    }

    // MARK: Expiry

    private actor Counter: AWSCredentialSource {
        let time: ManualTime
        let life: Double
        private(set) var count = 0
        var fails = false
        init(_ time: ManualTime, life: Double) { self.time = time; self.life = life }
        func fail(_ fails: Bool) { self.fails = fails }
        func credentials() async throws(AWSCredentialError) -> AWSCredentials? {
            count += 1
            if fails { throw .unusable(source: "test", reason: "down") }
            return AWSCredentials(accessKeyID: "K\(count)", secretAccessKey: Secret("s"), expiration: time.now() + life)
        }
    }
    private func settle(_ condition: () async -> Bool) async { for _ in 0..<10_000 where !(await condition()) { await Task.yield() } }

    @Test("many callers share one fetch, and it is kept") func shared() async throws {
        let time = ManualTime(), source = Counter(time, life: 6 * 3600)
        let held = ExpiringCredentials(source, time: time)
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<50 { group.addTask { try await held.get().accessKeyID } }
            for try await id in group { #expect(id == "K1") }
        }
        #expect(await source.count == 1)
    }

    @Test("a quarter of an hour before the end they are fetched in the background, ten minutes before everybody waits") func refresh() async throws {
        let time = ManualTime(), source = Counter(time, life: 6 * 3600)
        let held = ExpiringCredentials(source, time: time)
        _ = try await held.get()
        time.advance(by: .seconds(6 * 3600 - 800))
        #expect(try await held.get().accessKeyID == "K1")
        await settle { await source.count == 2 }
        await settle { (try? await held.get().accessKeyID) == "K2" }
        #expect(try await held.get().accessKeyID == "K2")
        time.advance(by: .seconds(6 * 3600 - 500))
        #expect(try await held.get().accessKeyID == "K3")
    }

    @Test("while the old ones still serve a failed refresh is borne, and not tried at every call") func failedRefresh() async throws {
        let time = ManualTime(), source = Counter(time, life: 6 * 3600)
        let held = ExpiringCredentials(source, time: time)
        _ = try await held.get()
        await source.fail(true)
        time.advance(by: .seconds(6 * 3600 - 800))
        for _ in 0..<20 { #expect(try await held.get().accessKeyID == "K1"); await settle { await source.count >= 2 } }
        #expect(await source.count == 2)
        time.advance(by: .seconds(300))
        await #expect(throws: AWSCredentialError.self) { _ = try await held.get() }
        await source.fail(false)
        #expect(try await held.get().accessKeyID == "K4")
    }

    @Test("credentials that the service calls expired are fetched anew") func forgotten() async throws {
        let time = ManualTime(), source = Counter(time, life: 6 * 3600)
        let held = ExpiringCredentials(source, time: time)
        _ = try await held.get()
        await held.forget("other")
        #expect(try await held.get().accessKeyID == "K1")
        await held.forget("K1")
        #expect(try await held.get().accessKeyID == "K2")
    }
}
