import Platform

/// A bot's own list of hosts (SEC-84): decides before anything is resolved. What is private stays refused whatever it says.
extension Bot.Egress {
    /// - Parameter host: lower case; an address in its canonical form.
    func allows(host: String, port: Int) -> Bool {
        if deny.contains(where: { Self.covers($0, host, port) }) { return false }
        return `default` == .allow || allow.contains { Self.covers($0, host, port) }
    }

    /// Whether the owner named this host with this port, which then need not be a usual one.
    func names(host: String, port: Int) -> Bool {
        port >= 1024 && allow.contains { $0.contains(":") && Self.covers($0, host, port) }
    }

    /// `example.com` is that host, `*.example.com` every host below it; without a port, any port.
    private static func covers(_ entry: String, _ host: String, _ port: Int) -> Bool {
        let parts = entry.lowercased().split(separator: ":", maxSplits: 1)
        if parts.count == 2, parts[1] != "\(port)" { return false }
        guard let name = parts.first else { return false }
        return name.hasPrefix("*.") ? host.hasSuffix(name.dropFirst()) && host.utf8.count > name.utf8.count - 1 : host == name
    }
}
