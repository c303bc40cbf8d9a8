import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform

/// One request of an agent to an API behind one of its user's rules.
public struct ProxyRequest: Sendable {
    public var method: String
    /// Rule's name as sent, one segment, decoded once.
    public var rule: String
    /// Everything behind it, as sent; nil where nothing stands there.
    public var rest: String
    public var query: String?
    public var headers: [(name: String, value: String)]
    /// nil = there is no body.
    public var body: HTTPClientRequest.Body?
    public init(method: String, rule: String, rest: String, query: String?, headers: [(name: String, value: String)], body: HTTPClientRequest.Body?) {
        self.method = method; self.rule = rule; self.rest = rest; self.query = query; self.headers = headers; self.body = body
    }
}

/// What the gateway needs for `/agent/v1/proxy`.
public struct CredentialProxy: Sendable {
    let egress: EgressGuard
    let client: EgressClient
    let secrets: any SecretStore
    let stage: String
    /// Until the answer's end.
    let timeout: Duration
    public init(egress: EgressGuard, client: EgressClient, secrets: any SecretStore, stage: String, timeout: Duration = .seconds(3600)) {
        self.egress = egress; self.client = client; self.secrets = secrets; self.stage = stage; self.timeout = timeout
    }
}

/// `ANY /agent/v1/proxy/{rule}/{path…}` (SEC-77..82): the user's secret is added here, and nothing of it comes back.
extension AgentGateway {
    private static let methods: Set = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    /// Of the agent's headers these stay here: log-ins, what names a way or a connection, and what we set ourselves (SEC-78).
    private static let dropped: Set = [
        "authorization", "cookie", "cookie2", "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "via",
        "forwarded", "x-real-ip", "accept-encoding",
    ]
    private static let droppedFamilies = ["proxy-", "x-forwarded-"]
    private static let keptBack: Set = [
        "set-cookie", "set-cookie2", "connection", "keep-alive", "transfer-encoding", "trailer", "upgrade", "content-length", "proxy-authenticate", "proxy-connection",
        "alt-svc", "x-request-id",
    ]

    /// Passes a request on with the rule's secret and streams the answer back.
    /// - Throws: ``GatewayError``
    public func proxy(_ run: AuthorizedRun, token: String, _ call: ProxyRequest) async throws -> ModelResponse {
        guard let proxy = hooks.proxy else { throw GatewayError.notFound }
        guard Self.methods.contains(call.method) else { throw GatewayError.invalid("method", "This method is not passed on.") }
        guard let rule = try await rule(call.rule, of: run.grant.userId) else {
            await deny(run, "/\(call.rule)", kind: .egress)
            throw GatewayError.forbidden("There is no proxy rule /\(call.rule.prefix(64)); the bot's owner can make one.")
        }
        guard let path = ProxyPath(call.rest, query: call.query) else { throw GatewayError.invalid("path", "The path must stay below the rule's target.") }
        guard let value = try await proxy.secrets.get(ProxyRule.secretName(stage: proxy.stage, rule.userId, rule.ruleId)), Self.isHeaderValue(value.reveal()) else {
            throw GatewayError.invalidState("The rule \(rule.prefix) lacks its secret.")
        }
        guard let base = WebAddress(rule.target), !base.hasQuery else { throw GatewayError.invalidState("The rule \(rule.prefix) has no usable target.") }
        let target: EgressGuard.Target
        do throws(EgressGuard.Refusal) { target = try await proxy.egress.vet(base, for: .proxyRule) } catch {
            if error == .unresolved { throw GatewayError.upstreamFailed }
            await deny(run, base.host, kind: .egress)
            throw GatewayError.forbidden("The target of the rule \(rule.prefix) is not a public address.")
        }
        // As the guard understood it: what it vetted and what is asked for cannot differ.
        var request = HTTPClientRequest(url: path.url(below: base.description))
        request.method = HTTPMethod(rawValue: call.method)
        request.headers = Self.headers(call.headers, for: rule, value, token: token)
        request.body = call.body
        return try await answer(request, to: target, proxy, run, Self.secrets(rule, value))
    }

    private func rule(_ name: String, of user: UserID) async throws -> ProxyRule? {
        guard (1...64).contains(name.utf8.count) else { return nil }
        return try await ProxyRule.all(of: user, in: records).first { $0.prefix.utf8.elementsEqual("/\(name)".utf8) }
    }

    /// What an answer must not hold: the value, and of a name and password the password alone as well.
    private static func secrets(_ rule: ProxyRule, _ value: Secret) -> [Secret] {
        let text = value.reveal()
        guard rule.authType == .basic, let colon = text.firstIndex(of: ":") else { return [value] }
        return [value, Secret(String(text[text.index(after: colon)...]))]
    }

    private static func isHeaderValue(_ text: String) -> Bool { !text.isEmpty && !text.utf8.contains { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f } }

    private static func headers(_ sent: [(name: String, value: String)], for rule: ProxyRule, _ secret: Secret, token: String) -> HTTPHeaders {
        let value = secret.reveal()
        let (name, content) =
            switch rule.authType {
            case .bearer: ("authorization", "Bearer \(value)")
            case .basic: ("authorization", "Basic \(Data(value.utf8).base64EncodedString())")
            case .apiKey: ((rule.headerName ?? "x-api-key").lowercased(), value)
            }
        let named = sent.filter { $0.name.lowercased() == "connection" }.flatMap { $0.value.split(separator: ",") }.map { $0.filter { !$0.isWhitespace }.lowercased() }
        var headers = HTTPHeaders()
        for (field, text) in sent {
            let field = field.lowercased()
            // A grant has no business with others, whatever header it stands in.
            guard field != name, !dropped.contains(field), !named.contains(field), !droppedFamilies.contains(where: field.hasPrefix), !text.contains(token),
                isHeaderValue(text) || text.isEmpty
            else { continue }
            headers.add(name: field, value: text)
        }
        headers.add(name: name, value: content)
        headers.replaceOrAdd(name: "accept-encoding", value: "identity")
        if !headers.contains(name: "user-agent") { headers.add(name: "user-agent", value: "clawbot") }
        return headers
    }

    /// Starts the exchange and returns with the head; the body is the exchange's rest, and ends with the run.
    private func answer(_ request: HTTPClientRequest, to target: EgressGuard.Target, _ proxy: CredentialProxy, _ run: AuthorizedRun, _ secrets: [Secret]) async throws -> ModelResponse {
        let head = Handoff<(Int, HTTPHeaders)>(), chunks = Handoff<ByteBuffer>()
        let registration = run.live.end.onFire { head.end(GatewayError.unauthenticated); chunks.end(GatewayError.unauthenticated) }
        let limit = hooks.egress?.limits.bytes ?? EgressLimits().bytes
        // Owned by the answer's body, or ended below: it lives no longer than one of the two.
        let exchange = Task { [logger] in
            do {
                try await proxy.client.execute(request, to: target, timeout: proxy.timeout) { response in
                    try await head.send((Int(response.status.code), response.headers))
                    for try await chunk in response.body {
                        guard run.live.spend(egress: chunk.readableBytes, of: limit) else { throw GatewayError.rateLimited(retryAfter: 60) }
                        try await chunks.send(chunk)
                    }
                }
                chunks.end()
            } catch {
                if !(error is CancellationError) { logger.debug("a call to an API failed", metadata: ["cause": "\(type(of: error))"]) }
                head.end(GatewayError.upstreamFailed)
                chunks.end(GatewayError.upstreamFailed)
            }
        }
        let owner = ExchangeOwner { exchange.cancel(); run.live.end.forget(registration) }
        guard let (status, headers) = try await head.next() else { throw GatewayError.upstreamFailed }
        let isEmpty = request.method == .HEAD || status == 204 || status == 304
        // In what is packed nothing can be looked for: identity was asked for.
        if !isEmpty, let encoding = headers.first(name: "content-encoding"), encoding.lowercased() != "identity" { throw GatewayError.upstreamFailed }
        let named = headers[canonicalForm: "connection"].map { $0.lowercased() }
        let passed: [(name: String, value: String)] = headers.compactMap { field in
            let name = field.name.lowercased()
            guard !Self.keptBack.contains(name), !named.contains(name), name != "content-encoding" else { return nil }
            return (name: name, value: secrets.reduce(field.value) { KeyScrubber.scrub($0, of: $1) })
        }
        let answer = ModelResponse(status: status, headers: passed) { write in
            defer { owner.release() }
            while let chunk = try await chunks.next() { try await write(chunk) }
        }
        return secrets.reduce(answer) { $0.scrubbed(of: $1) }
    }

    /// Ends the exchange when its answer is dropped unread, too.
    private final class ExchangeOwner: Sendable {
        let release: @Sendable () -> Void
        init(_ release: @escaping @Sendable () -> Void) { self.release = release }
        deinit { release() }
    }
}

extension ProxyRule {
    /// A user has ``ProxyRuleService/maximum`` at most.
    static func all(of user: UserID, in records: any RecordStore) async throws -> [ProxyRule] {
        try await records.all(ProxyRule.self, RecordQuery(Tables.proxyRules, partition: user.rawValue, limit: 100))
    }
    static func prefixes(of user: UserID, in records: any RecordStore) async throws -> [String] { try await all(of: user, in: records).map(\.prefix).sorted() }
}
