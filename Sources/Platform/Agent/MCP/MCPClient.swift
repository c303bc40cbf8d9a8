import Foundation
import Platform
import Synchronization

/// One conversation with a server: initialisation, requests and their answers, what the server asks of us.
///
/// Whatever a server does ends here: an answer nobody waits for is dropped, one that comes twice counts once, and what is too much,
/// too long or too late fails the calls of this server only.
final class MCPClient: Sendable {
    struct Tool: Sendable, Hashable {
        var name: String
        var description: String
        var inputSchema: Value
        /// What the server says; it decides only what may run at the same time.
        var isReadOnly: Bool
    }
    private enum Era { case handshake, stateless }
    private struct Pending {
        var continuation: CheckedContinuation<Value, any Error>?
        var outcome: Result<Value, MCPFailure>?
        var lastSign: ContinuousClock.Instant
        var progress: (@Sendable (String) -> Void)?
    }
    private struct State {
        var next = 1
        var pending: [Int: Pending] = [:]
        var failure: MCPFailure?
        var detail: String?
        var unasked = 0
        var unaskedBytes = 0
        var answering = 0
        var era = Era.handshake
        var toolsChanged = false
        var offersTools = true
    }
    private let transport: any MCPTransport
    private let limits: MCPLimits
    private let state = Mutex(State())

    init(_ transport: any MCPTransport, limits: MCPLimits) { self.transport = transport; self.limits = limits }

    /// Why it is over, if it is; and the server's own last word.
    var failure: (MCPFailure, detail: String?)? { state.withLock { state in state.failure.map { ($0, state.detail) } } }
    /// The server said that its tools have changed, since they were last listed.
    var toolsHaveChanged: Bool { state.withLock { $0.toolsChanged } }

    // MARK: Life

    /// Connects and agrees on a version of the protocol.
    func connect() async throws(MCPFailure) {
        try await transport.open(MCPReceiver(message: { [weak self] in self?.take($0, bytes: $1) }, ended: { [weak self] in self?.end($0, $1) }))
        try await negotiate()
    }

    /// Begins a new session on the same transport, after the server has forgotten the old one.
    private func negotiate() async throws(MCPFailure) {
        state.withLock { $0.era = .handshake }
        let offer: Value = .object(["protocolVersion": .string(ProtocolVersion.latest), "capabilities": .object([:]), "clientInfo": Self.identity])
        let answer: Value
        do throws(MCPFailure) {
            answer = try await request("initialize", offer, timeout: limits.startTime)
        } catch {
            guard case .refused(let own) = error, [RPCError.unsupportedVersion, RPCError.methodNotFound].contains(own.code) else { throw error }
            return try await discover()
        }
        guard let version = answer["protocolVersion"]?.string, ProtocolVersion.handshake.contains(version) else { throw .unsupportedVersion }
        state.withLock { $0.offersTools = answer["capabilities"]?["tools"]?.object != nil }
        try await transport.send(.notification(method: "notifications/initialized", params: nil))
        transport.agreed(on: version)
    }

    /// The protocol without a handshake: each request names its version.
    private func discover() async throws(MCPFailure) {
        state.withLock { $0.era = .stateless }
        transport.agreed(on: ProtocolVersion.stateless)
        let answer = try await request("server/discover", nil, timeout: limits.startTime)
        guard (answer["supportedVersions"]?.array ?? []).contains(.string(ProtocolVersion.stateless)) else { throw .unsupportedVersion }
        state.withLock { $0.offersTools = answer["capabilities"]?["tools"]?.object != nil }
    }

    private static let identity: Value = ["name": "clawbot", "version": "1"]

    func close() async {
        end(.ended("it was ended"), nil)
        await transport.close()
    }

    // MARK: Requests

    /// The server's tools, all pages of them, cut to what a model may be shown.
    func listTools() async throws(MCPFailure) -> [Tool] {
        state.withLock { $0.toolsChanged = false }
        guard state.withLock({ $0.offersTools }) else { return [] }
        var tools: [Tool] = [], cursor: Value?, names = Set<String>()
        for _ in 0..<limits.pages {
            let page = try await request("tools/list", cursor.map { .object(["cursor": $0]) }, timeout: limits.startTime)
            guard let listed = page["tools"]?.array else { throw .unintelligible("its list of tools is none") }
            for entry in listed where tools.count < limits.tools {
                guard let name = entry["name"]?.string, names.insert(name).inserted else { continue }
                tools.append(tool(name, entry))
            }
            guard tools.count < limits.tools, let next = page["nextCursor"]?.string, next.utf8.count <= 4096, .string(next) != cursor else { break }
            cursor = .string(next)
        }
        return tools
    }

    private func tool(_ name: String, _ entry: Value) -> Tool {
        var schema = entry["inputSchema"] ?? .null
        // A model API refuses a whole request for one schema that is no object.
        if schema["type"]?.string != "object" || ((try? JSON.data(schema).count) ?? .max) > limits.schemaBytes { schema = ["type": "object"] }
        return Tool(
            name: name, description: MCPContent.text(entry["description"]?.string ?? entry["title"]?.string ?? "", most: limits.descriptionBytes),
            inputSchema: schema, isReadOnly: entry["annotations"]?["readOnlyHint"]?.bool ?? false)
    }

    /// Calls a tool; the answer as the server gave it. A session that the server has forgotten is begun anew, once.
    func call(_ tool: String, _ arguments: Value, timeout: Duration, progress: @escaping @Sendable (String) -> Void) async throws(MCPFailure) -> Value {
        let params: Value = .object(["name": .string(tool), "arguments": arguments])
        do throws(MCPFailure) {
            return try await request("tools/call", params, timeout: timeout, progress: progress)
        } catch {
            guard error == .sessionLost else { throw error }
            // Nobody took the call: a server answers so before it looks at a message.
            try await negotiate()
            return try await request("tools/call", params, timeout: timeout, progress: progress)
        }
    }

    func ping() async throws(MCPFailure) { _ = try await request("ping", nil, timeout: limits.startTime) }

    private func request(_ method: String, _ params: Value?, timeout: Duration, progress: (@Sendable (String) -> Void)? = nil) async throws(MCPFailure) -> Value {
        let id = try register(progress)
        defer { state.withLock { _ = $0.pending.removeValue(forKey: id) } }
        let message = RPCMessage.request(id: .int(id), method: method, params: dressed(params, progressToken: progress == nil ? nil : id))
        do {
            return try await withThrowingTaskGroup(of: Value?.self) { group in
                defer { group.cancelAll() }
                group.addTask { try await self.answer(to: id) }
                group.addTask {
                    do throws(MCPFailure) { try await self.transport.send(message) } catch {
                        // An answer that came before the trouble counts.
                        if !self.isAnswered(id) { throw error }
                    }
                    return nil
                }
                group.addTask { try await self.watch(id, timeout: timeout); return nil }
                while let result = try await group.next() { if let result { return result } }
                throw MCPFailure.ended("it was ended")
            }
        } catch {
            let failure = error as? MCPFailure ?? .ended("it was ended")
            switch failure {
            case .timedOut: abandon(id, method, reason: "no answer in time")
            case .ended where Task.isCancelled: abandon(id, method, reason: "the work was stopped")
            default: break
            }
            throw failure
        }
    }

    private func dressed(_ params: Value?, progressToken: Int?) -> Value? {
        var meta: Document = [:]
        if let progressToken { meta["progressToken"] = .int(progressToken) }
        if state.withLock({ $0.era }) == .stateless {
            meta[ProtocolVersion.MetaKey.version] = .string(ProtocolVersion.stateless)
            meta[ProtocolVersion.MetaKey.client] = Self.identity
            meta[ProtocolVersion.MetaKey.capabilities] = .object([:])
        }
        guard !meta.isEmpty else { return params }
        return .object((params?.object ?? [:]).merging(["_meta": .object(meta)]) { $1 })
    }

    private func register(_ progress: (@Sendable (String) -> Void)?) throws(MCPFailure) -> Int {
        let outcome: Result<Int, MCPFailure> = state.withLock { state in
            if let failure = state.failure { return .failure(failure) }
            defer { state.next += 1 }
            state.pending[state.next] = Pending(lastSign: .now, progress: progress)
            return .success(state.next)
        }
        return try outcome.get()
    }

    private func isAnswered(_ id: Int) -> Bool { state.withLock { $0.pending[id]?.outcome != nil } }

    private func answer(to id: Int) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now: Result<Value, MCPFailure>? = state.withLock { state in
                    if let outcome = state.pending[id]?.outcome { return outcome }
                    if Task.isCancelled { return .failure(.ended("it was ended")) }
                    state.pending[id]?.continuation = continuation
                    return nil
                }
                if let now { continuation.resume(with: now.mapError { $0 as any Error }) }
            }
        } onCancel: {
            settle(id, .failure(.ended("it was ended")))
        }
    }

    /// Fails when nothing was heard of the request for `timeout`, or for longer than any call may take.
    private func watch(_ id: Int, timeout: Duration) async throws {
        let last = ContinuousClock.now + max(limits.longestCall, timeout)
        while true {
            guard let sign = state.withLock({ $0.pending[id]?.lastSign }) else { return }
            let due = min(sign + timeout, last)
            if ContinuousClock.now >= due { throw MCPFailure.timedOut(timeout) }
            try await Task.sleep(until: due, clock: .continuous)
        }
    }

    /// Tells the server that nobody waits any more. `initialize` may not be cancelled.
    private func abandon(_ id: Int, _ method: String, reason: String) {
        guard method != "initialize", failure == nil else { return }
        let message = RPCMessage.notification(method: "notifications/cancelled", params: .object(["requestId": .int(id), "reason": .string(reason)]))
        answer(message)
    }

    // MARK: What comes

    private func take(_ message: RPCMessage, bytes: Int) {
        switch message {
        case .response(.int(let id), let result):
            let answers = state.withLock { state in
                guard state.pending[id] != nil else { return false }
                state.unasked = 0
                state.unaskedBytes = 0
                return true
            }
            guard answers else { return count(bytes) }
            settle(id, result.mapError { .refused($0) })
        case .response: count(bytes)
        case .notification(let method, let params):
            count(bytes)
            switch method {
            case "notifications/progress": progress(params)
            case "notifications/tools/list_changed": state.withLock { $0.toolsChanged = true }
            default: break
            }
        case .request(let id, let method, _):
            count(bytes)
            // Nothing was offered but to be a client: no roots, no sampling, no questions to people.
            answer(.response(id: id, method == "ping" ? .success(.object([:])) : .failure(RPCError(code: RPCError.methodNotFound, message: "Not supported."))))
        }
    }

    private func progress(_ params: Value?) {
        guard let token = params?["progressToken"]?.int else { return }
        let tell = state.withLock { state in
            state.pending[token]?.lastSign = .now
            return state.pending[token]?.progress
        }
        if let text = params?["message"]?.string { tell?(ToolSummary.oneLine(text, most: 200)) }
    }

    private func count(_ bytes: Int) {
        let isFlood = state.withLock { state in
            state.unasked += 1
            state.unaskedBytes += bytes
            return state.failure == nil && (state.unasked > limits.unasked || state.unaskedBytes > limits.unaskedBytes)
        }
        guard isFlood else { return }
        end(.flooded, nil)
        let transport = transport
        Task { await transport.close() }
    }

    private func answer(_ message: RPCMessage) {
        let mayAnswer = state.withLock { state in
            guard state.answering < limits.answersAtOnce else { return false }
            state.answering += 1
            return true
        }
        guard mayAnswer else { return }
        let transport = transport
        Task { [weak self] in
            try? await transport.send(message)
            self?.state.withLock { $0.answering -= 1 }
        }
    }

    private func settle(_ id: Int, _ outcome: Result<Value, MCPFailure>) {
        let continuation = state.withLock { state -> CheckedContinuation<Value, any Error>? in
            guard state.pending[id] != nil, state.pending[id]?.outcome == nil else { return nil }
            state.pending[id]?.outcome = outcome
            defer { state.pending[id]?.continuation = nil }
            return state.pending[id]?.continuation
        }
        continuation?.resume(with: outcome.mapError { $0 as any Error })
    }

    private func end(_ failure: MCPFailure, _ detail: String?) {
        let open = state.withLock { state in
            if state.failure == nil { state.failure = failure; state.detail = detail } else if state.detail == nil { state.detail = detail }
            return Array(state.pending.keys)
        }
        for id in open { settle(id, .failure(failure)) }
    }
}
