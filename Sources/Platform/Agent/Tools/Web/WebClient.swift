import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Platform

/// Fetches public pages for tools: through the proxy that the environment names (in a sandbox the only way out, where the host's policy is
/// held), else directly. Bounded in size, time and redirects; carries no cookies and no credentials.
struct WebClient: Sendable {
    struct Limits: Sendable {
        /// Bytes of a body, unpacked; what exceeds it is left out.
        var bytes = 10 << 20
        /// From the first connection to the last byte, redirects included.
        var time: Duration = .seconds(30)
        var redirects = 10
        var url = 2000
    }
    struct Page: Sendable {
        /// After redirects.
        var url: URL
        var status: Int
        /// Lower case, without parameters; empty when the server does not say.
        var mediaType: String
        var charset: String?
        var body: [UInt8]
        /// There was more than the limit.
        var isCut: Bool
    }
    enum Outcome: Sendable {
        case page(Page)
        /// It leads to another site, which the model has to want.
        case leadsTo(URL, status: Int)
    }

    var environment: [String: String]
    var limits = Limits()

    /// - Throws: ``ToolError`` with a sentence for the model; `CancellationError`.
    func get(_ text: String) async throws -> Outcome {
        let url = try Self.checked(text, limits)
        return try await withThrowingTaskGroup(of: Outcome.self) { group in
            group.addTask { try await follow(url) }
            group.addTask {
                try await Task.sleep(for: limits.time)
                throw ToolError("\(url.host() ?? text) did not answer in full within \(limits.time.milliseconds / 1000) seconds.")
            }
            defer { group.cancelAll() }
            guard let outcome = try await group.next() else { throw CancellationError() }
            return outcome
        }
    }

    private static func checked(_ text: String, _ limits: Limits) throws(ToolError) -> URL {
        guard text.utf8.count <= limits.url else { throw ToolError("The URL is longer than \(limits.url) characters.") }
        var text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        if !text.contains("://") { text = "https://" + text }
        guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), let host = url.host(), !host.isEmpty else {
            throw ToolError("'\(text)' is no URL.")
        }
        guard scheme == "https" || scheme == "http" else { throw ToolError("Only http and https URLs can be fetched.") }
        guard url.user() == nil, url.password() == nil else { throw ToolError("A URL with a user name or password is not fetched.") }
        return url
    }

    private func follow(_ first: URL) async throws -> Outcome {
        var url = first
        // A page is asked for over TLS where that could be meant; a server without it is asked again in the clear.
        if let safe = Self.upgraded(first) {
            do {
                return try await follow(from: safe, origin: first)
            } catch is Unreachable {
                try Task.checkCancellation()
            }
            url = first
        }
        do {
            return try await follow(from: url, origin: first)
        } catch let error as Unreachable {
            throw ToolError(error.sentence)
        }
    }

    private struct Unreachable: Error { var sentence: String }

    private static func upgraded(_ url: URL) -> URL? {
        guard url.scheme?.lowercased() == "http", url.port == nil, let host = url.host(), host.contains("."), host.contains(where: \.isLetter),
            var parts = URLComponents(url: url, resolvingAgainstBaseURL: true)
        else { return nil }
        parts.scheme = "https"
        return parts.url
    }

    private func follow(from start: URL, origin: URL) async throws -> Outcome {
        var url = start
        for _ in 0...limits.redirects {
            let answer = try await exchange(url)
            guard let location = answer.location else {
                return .page(
                    Page(url: url, status: answer.status, mediaType: answer.mediaType, charset: answer.charset, body: answer.body, isCut: answer.isCut))
            }
            guard let next = URL(string: location, relativeTo: url)?.absoluteURL, let checked = try? Self.checked(next.absoluteString, limits) else {
                throw ToolError("\(url.absoluteString) redirects to something that is no web address.")
            }
            guard Self.site(checked) == Self.site(origin) else { return .leadsTo(checked, status: answer.status) }
            url = checked
        }
        throw ToolError("\(origin.absoluteString) redirects more than \(limits.redirects) times.")
    }

    /// `www.` makes no other site of a host.
    private static func site(_ url: URL) -> String {
        let host = (url.host() ?? "").lowercased()
        return host.hasPrefix("www.") ? String(host.dropFirst(4)) : host
    }

    private struct Answer {
        var status: Int
        var location: String?
        var mediaType = ""
        var charset: String?
        var body: [UInt8] = []
        var isCut = false
    }

    private func exchange(_ url: URL) async throws -> Answer {
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration(for: url))
        let result: Result<Answer, any Error>
        do {
            result = .success(try await exchange(url, with: client))
        } catch {
            result = .failure(error)
        }
        try? await client.shutdown()
        switch result {
        case .success(let answer): return answer
        case .failure(let error):
            if error is CancellationError || Task.isCancelled { throw CancellationError() }
            throw Self.explained(error, url)
        }
    }

    private func exchange(_ url: URL, with client: HTTPClient) async throws -> Answer {
        var request = HTTPClientRequest(url: url.absoluteString)
        request.headers = [
            "user-agent": "Mozilla/5.0 (compatible; ClawBot/1.0)", "accept": "text/markdown, text/html;q=0.9, application/xhtml+xml;q=0.9, */*;q=0.8",
            "accept-language": "en, *;q=0.5",
        ]
        let response = try await client.execute(request, timeout: .nanoseconds(Int64(limits.time.seconds * 1e9)))
        var answer = Answer(status: Int(response.status.code))
        if [301, 302, 303, 307, 308].contains(answer.status), let location = response.headers.first(name: "location") {
            answer.location = location
            return answer
        }
        let type = (response.headers.first(name: "content-type") ?? "").split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
        answer.mediaType = type.first?.lowercased() ?? ""
        answer.charset = type.dropFirst().first { $0.lowercased().hasPrefix("charset=") }.map { String($0.dropFirst(8)) }
        for try await chunk in response.body {
            let room = limits.bytes - answer.body.count
            answer.body += chunk.readableBytesView.prefix(room)
            if chunk.readableBytes > room {
                answer.isCut = true
                break
            }
        }
        return answer
    }

    private func configuration(for url: URL) -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, timeout: .init(connect: .seconds(10), read: .seconds(20)))
        // One byte more than is kept, so that a bomb is cut and not an error; packed pages are rarely more than ten times smaller.
        configuration.decompression = .enabled(limit: .ratio(200))
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.proxy = proxy(for: url)
        return configuration
    }

    /// As curl reads the environment: `https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`, in either case.
    private func proxy(for url: URL) -> HTTPClient.Configuration.Proxy? {
        func variable(_ name: String) -> String? { (environment[name] ?? environment[name.uppercased()]).flatMap { $0.isEmpty ? nil : $0 } }
        let host = (url.host() ?? "").lowercased()
        for entry in (variable("no_proxy") ?? "").lowercased().split(whereSeparator: { $0 == "," || $0 == " " }) {
            let suffix = entry.drop { $0 == "." || $0 == "*" }
            if entry == "*" || host == suffix || !suffix.isEmpty && host.hasSuffix("." + suffix) { return nil }
        }
        guard let text = variable(url.scheme?.lowercased() == "http" ? "http_proxy" : "https_proxy") ?? variable("all_proxy"),
            let address = URL(string: text.contains("://") ? text : "http://" + text), let proxyHost = address.host()
        else { return nil }
        let port = address.port ?? (address.scheme == "https" ? 443 : 80)
        if let user = address.user(percentEncoded: false) {
            return .server(host: proxyHost, port: port, authorization: .basic(username: user, password: address.password(percentEncoded: false) ?? ""))
        }
        return .server(host: proxyHost, port: port)
    }

    private static func explained(_ error: any Error, _ url: URL) -> any Error {
        let host = url.host() ?? "the server"
        let insecure = Unreachable(sentence: "No secure connection to \(host) could be made: its certificate or protocol is not accepted.")
        if let error = error as? HTTPClientError {
            switch error {
            case .invalidProxyResponse, .proxyAuthenticationRequired:
                return Unreachable(sentence: "The way to \(host) was refused: it may be a private address, or one that this bot is not allowed to reach.")
            case .connectTimeout, .deadlineExceeded, .readTimeout, .httpProxyHandshakeTimeout: return Unreachable(sentence: "\(host) did not answer in time.")
            case .tlsHandshakeTimeout: return insecure
            default: break
            }
        }
        switch error {
        case is ToolError: return error
        // NIOSSL's errors, whose module this one does not link.
        case _ where String(reflecting: type(of: error)).contains("SSL"): return insecure
        case is NIOConnectionError, is IOError: return Unreachable(sentence: "\(host) could not be reached: no such host, or nothing answers there.")
        default: return ToolError("\(host) did not answer as a web server does: \(String(describing: error).prefix(200)).")
        }
    }
}
