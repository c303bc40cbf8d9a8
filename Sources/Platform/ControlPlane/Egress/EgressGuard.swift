import Foundation
import Platform

/// Decides where the platform's own connections may go: provider URLs, proxy rules, MCP servers, git, attachments (SEC-40).
///
/// A host is resolved once, every one of its addresses must pass, and the connection goes to the address that was vetted
/// (SEC-41; ``EgressClient`` does that). What is checked when a URL is stored is advice, what is checked here decides (SEC-45).
///
/// ```swift
/// let target = try await guard.vet(url, for: .proxyRule)
/// let answer = try await client.execute(request, to: target, timeout: .seconds(30))
/// ```
public struct EgressGuard: Sendable {
    /// On whose behalf. An operator may allow private targets for those of the first line, which are the platform's own, for proxy rules
    /// and for agents.
    public enum Consumer: Sendable, Hashable {
        case provider, channel, search, transcription, identity
        case proxyRule, mcpServer, git, attachment, agent

        var configured: PlatformConfiguration.PrivateTarget.Consumer? {
            switch self {
            case .provider: .providers
            case .channel: .channels
            case .search: .search
            case .transcription: .transcription
            case .identity: .identity
            case .proxyRule: .proxy
            case .agent: .egress
            case .mcpServer, .git, .attachment: nil
            }
        }
    }
    /// A URL with the address to connect to.
    public struct Target: Sendable, Hashable {
        public let url: WebAddress
        public let address: String
    }
    /// Why not; for the log. Callers hear one sentence whatever it was.
    public enum Refusal: Error, Sendable, Equatable {
        case address, port, plainHTTP
        /// The name has no address, or none could be asked for.
        case unresolved
        public static let sentence = "Only public addresses on the internet can be used, over https."
    }

    private let resolver: any HostResolver
    private let privateTargets: [PlatformConfiguration.PrivateTarget]
    private let ownBlocks: [NetworkBlock]
    private let ports: Set<Int>
    private let allowsLocalProviders: Bool

    /// - Parameters:
    ///   - privateTargets: host, port and consumer, from the startup configuration.
    ///   - ownBlocks: the deployment's networks, refused although they may be public addresses.
    ///   - morePorts: besides 80 and 443.
    ///   - allowsLocalProviders: stage `local`: model endpoints on this machine or network, over http too.
    public init(
        resolver: any HostResolver = SystemResolver(), privateTargets: [PlatformConfiguration.PrivateTarget] = [], ownBlocks: [NetworkBlock] = [],
        morePorts: Set<Int> = [], allowsLocalProviders: Bool = false
    ) {
        self.resolver = resolver; self.privateTargets = privateTargets; self.ownBlocks = ownBlocks
        ports = morePorts.union([80, 443]); self.allowsLocalProviders = allowsLocalProviders
    }

    /// What can be said of a URL without asking the network.
    /// - Parameter namedPort: the owner of an agent named host and port together: they need not be usual ones.
    public func check(_ url: WebAddress, for consumer: Consumer, namedPort: Bool = false) throws(Refusal) {
        if url.isMetadataName || url.range == .never { throw .address }
        if isConfigured(url, consumer) { return }
        let mayBeLocal = consumer == .provider && allowsLocalProviders
        let isLocal = url.isLocalName || url.range == .privateUse
        if isLocal && !mayBeLocal { throw .address }
        // No secret of the platform's travels with what an agent's commands send.
        if url.scheme == .http, consumer != .agent, !(isLocal && mayBeLocal) { throw .plainHTTP }
        // A provider is an administrator's choice, and endpoints of one's own listen where they like.
        if consumer != .provider, !namedPort, !ports.contains(url.port) { throw .port }
        if consumer == .provider, !isLocal, !ports.contains(url.port), url.port < 1024 { throw .port }
        if let range = url.range { try admit(url.host, range, url, consumer) }
    }

    /// Resolves and admits every address, or refuses. The answer names the one to connect to.
    public func vet(_ url: WebAddress, for consumer: Consumer, namedPort: Bool = false) async throws(Refusal) -> Target {
        try check(url, for: consumer, namedPort: namedPort)
        if url.range != nil { return Target(url: url, address: url.host) }
        let addresses: [String]
        do { addresses = try await resolver.addresses(of: url.host) } catch { throw .unresolved }
        for address in addresses {
            guard let range = AddressRange(of: address) else { throw .address }
            try admit(address, range, url, consumer)
        }
        // IPv4 first: a machine without an IPv6 route has AAAA answers all the same.
        guard let chosen = addresses.first(where: { !$0.contains(":") }) ?? addresses.first else { throw .unresolved }
        return Target(url: url, address: chosen)
    }

    private func admit(_ address: String, _ range: AddressRange, _ url: WebAddress, _ consumer: Consumer) throws(Refusal) {
        switch range {
        case .never: throw .address
        case .privateUse:
            if isConfigured(url, consumer) { return }
            // A name of the internet that leads home is a rebinding, in `local` too.
            guard consumer == .provider, allowsLocalProviders, url.range != nil || url.isLocalName else { throw .address }
        case .global:
            if ownBlocks.contains(where: { $0.contains(address) }) { throw .address }
            if url.scheme == .http, consumer != .agent, !isConfigured(url, consumer) { throw .plainHTTP }
        }
    }

    private func isConfigured(_ url: WebAddress, _ consumer: Consumer) -> Bool {
        guard let consumer = consumer.configured else { return false }
        return privateTargets.contains { $0.consumer == consumer && $0.host.lowercased() == url.host && $0.port == url.port }
    }
}

/// Asks for the addresses of a name.
public protocol HostResolver: Sendable {
    /// Every A and AAAA answer. Throws when nobody could be asked; empty = there is no such name.
    func addresses(of host: String) async throws -> [String]
}
