import Foundation
import HTTPTypes
import Platform

/// The console: static files, compiled into the binary, served under the strict policy of SEC-100.
public struct ConsoleFiles: Sendable {
    private struct File: Sendable {
        var data: Data
        var type: String
        var etag: String
    }
    private let files: [String: File]

    public init() {
        files = ConsoleAssets.all.reduce(into: [:]) { files, asset in
            let data = Data(asset.value)
            files[asset.key] = File(data: data, type: Self.type(of: asset.key), etag: "\"\(Digest.sha256Hex(data).prefix(24))\"")
        }
    }

    /// A file, or the page itself for paths that only it knows, when the client wants HTML.
    func answer(_ path: String, accept: String?, ifNoneMatch: String?) throws -> Answer {
        let wantsPage = accept.map { $0.contains("text/html") } ?? false
        let name = path == "/" || (wantsPage && !path.contains(".")) ? "/index.html" : path
        guard let file = files[name] else { throw Problem.notFound }
        var headers: HTTPFields = [.eTag: file.etag, .cacheControl: "no-cache", .contentSecurityPolicy: ResponseHeaders.consolePolicy]
        if ifNoneMatch == file.etag { return Answer(status: 304, headers: headers) }
        if file.type == "image/svg+xml" { headers[.contentSecurityPolicy] = "default-src 'none'; style-src 'unsafe-inline'; sandbox" }
        return Answer(headers: headers, content: .bytes(file.data, type: file.type))
    }

    /// Writes every file below a directory, for a CDN that serves the console and fronts the API under one origin. Answers the paths
    /// written, relative to the directory. Existing files of the same name are replaced; throws what the file system says.
    @discardableResult
    public func export(to directory: URL) throws -> [String] {
        try files.keys.sorted().map { path in
            let target = directory.appending(path: String(path.dropFirst()))
            try FileManager.default.createDirectory(at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
            try files[path]?.data.write(to: target, options: .atomic)
            return String(path.dropFirst())
        }
    }

    /// The headers that a static host must send with the files: the policy of SEC-100 and no caching without asking.
    public static var hostingHeaders: [(name: String, value: String)] {
        [
            ("Content-Security-Policy", ResponseHeaders.consolePolicy), ("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Opener-Policy", "same-origin"),
        ]
    }

    private static func type(of path: String) -> String {
        switch path.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "js": "text/javascript; charset=utf-8"
        case "svg": "image/svg+xml"
        default: "application/octet-stream"
        }
    }
}
