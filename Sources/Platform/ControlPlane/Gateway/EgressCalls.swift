import Foundation
import Logging
import Platform
import Synchronization

/// What an agent's commands may use of the network in one run (SEC-82).
public struct EgressLimits: Sendable {
    /// Connections open at once.
    public var connections = 64
    /// Connections begun in a minute.
    public var perMinute = 1200
    /// Bytes of all connections, both ways.
    public var bytes = 4 << 30
    /// Seconds until a server must have accepted a connection, and during which one may stand still.
    public var connectSeconds: Int64 = 10
    public var idleSeconds: Int64 = 300
    public init() {}
}

/// Why a connection of an agent's commands is not made, with a sentence for the agent.
public struct EgressRefusal: Error, Sendable {
    /// Of the answer: 400, 401, 403, 429, 502 or 503.
    public let status: Int
    public let sentence: String
    public init(_ status: Int, _ sentence: String) { self.status = status; self.sentence = sentence }
}

/// A connection that was allowed: where to, and what it has used. ``end()`` gives its place back.
public final class EgressPassage: Sendable {
    public let host: String
    public let port: Int
    /// The one address to connect to: that which was vetted.
    public let address: String
    public let limits: EgressLimits
    private let run: AuthorizedRun
    private let gateway: AgentGateway
    private struct State { var sent = 0; var received = 0; var isOver = false; var registration: UInt64? }
    private let state = Mutex(State())

    init(host: String, port: Int, address: String, limits: EgressLimits, run: AuthorizedRun, gateway: AgentGateway) {
        self.host = host; self.port = port; self.address = address; self.limits = limits; self.run = run; self.gateway = gateway
    }
    deinit { end() }

    /// Runs `cut` when the run ends: no connection outlives it.
    public func onEnd(_ cut: @escaping @Sendable () -> Void) {
        let id = run.live.end.onFire(cut)
        state.withLock { $0.registration = id }
    }

    /// Books bytes. Throws once the run has used up what it may.
    public func count(sent: Int = 0, received: Int = 0) throws(EgressRefusal) {
        state.withLock { $0.sent += sent; $0.received += received }
        guard run.live.spend(egress: sent + received, of: limits.bytes) else { throw Self.spent }
    }
    static let spent = EgressRefusal(429, "This run has moved as many bytes over the network as it may.")

    /// The TLS client asks for another server than the connection was allowed for (SEC-84).
    public func wrongServer(_ name: String?) async -> EgressRefusal {
        await gateway.deny(run, "\(name ?? "?") by way of \(host)", kind: .egress)
        return EgressRefusal(403, "The connection to \(host) asked for another server.")
    }

    /// Gives the place back and notes what was moved: host and bytes, never paths.
    public func end() {
        let last: State? = state.withLock { state in
            guard !state.isOver else { return nil }
            state.isOver = true
            return state
        }
        guard let last else { return }
        if let id = last.registration { run.live.end.forget(id) }
        run.live.egress.leave()
        gateway.logger.debug(
            "egress", metadata: ["invocationId": "\(run.run.invocationId)", "host": "\(host):\(port)", "sent": "\(last.sent)", "received": "\(last.received)"])
    }
}

/// `CONNECT` and absolute-form requests of commands in the sandbox (SEC-40, SEC-41, SEC-82, SEC-84).
extension AgentGateway {
    /// Decides about one connection: grant, the bot's policy as it stands now, then the guard over every resolved address.
    /// - Parameter place: `https://host:port` for a tunnel, `http://host:port` for a request in absolute form.
    public func egress(token: String?, socketSession: SessionKey?, to place: WebAddress) async throws(EgressRefusal) -> EgressPassage {
        guard let hooks = hooks.egress else { throw EgressRefusal(503, "This platform has no way out for commands.") }
        let run: AuthorizedRun
        do {
            run = try await authorize(token: token, socketSession: socketSession, scope: .egress)
        } catch .forbidden(let sentence) {
            throw EgressRefusal(403, sentence)
        } catch .unavailable {
            throw EgressRefusal(503, "The platform cannot take this at the moment; try again.")
        } catch {
            throw EgressRefusal(401, "The grant is missing, expired, or its run has ended.")
        }
        let named = place.isDefaultPort ? place.host : "\(place.host):\(place.port)"
        guard let bot = try? run.bot() else { throw EgressRefusal(503, "The platform cannot take this at the moment; try again.") }
        guard bot.egress.allows(host: place.host, port: place.port) else {
            await deny(run, named, kind: .egress)
            throw EgressRefusal(403, "\(named) is not among the hosts that this bot may reach; its owner can allow it.")
        }
        guard run.live.spend(egress: 0, of: hooks.limits.bytes) else { throw EgressPassage.spent }
        do { _ = try run.live.egress.enter(at: time.now(), perMinute: hooks.limits.perMinute, atOnce: hooks.limits.connections) } catch {
            throw EgressRefusal(429, "Too many connections of this run at once; try again in a moment.")
        }
        let target: EgressGuard.Target
        do {
            target = try await hooks.egress.vet(place, for: .agent, namedPort: bot.egress.names(host: place.host, port: place.port))
        } catch {
            run.live.egress.leave()
            throw await refusal(error, named, run)
        }
        return EgressPassage(host: place.host, port: place.port, address: target.address, limits: hooks.limits, run: run, gateway: self)
    }

    private func refusal(_ error: EgressGuard.Refusal, _ named: String, _ run: AuthorizedRun) async -> EgressRefusal {
        // A name that does not exist is no policy, and no news for the owner.
        if error == .unresolved { return EgressRefusal(502, "\(named) has no address, or none could be asked for.") }
        await deny(run, named, kind: .egress)
        if error == .port { return EgressRefusal(403, "\(named): only the ports 80 and 443 can be reached, and those that the bot's owner allows by name.") }
        return EgressRefusal(403, "\(named) is a private or reserved address, which cannot be reached from here.")
    }
}

/// The way out for commands of agents.
public struct EgressDoor: Sendable {
    public var egress: EgressGuard
    public var limits: EgressLimits
    public init(egress: EgressGuard, limits: EgressLimits = EgressLimits()) { self.egress = egress; self.limits = limits }
}
