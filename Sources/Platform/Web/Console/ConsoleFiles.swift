import Foundation
import HTTPTypes
import Platform

/// The console: a few static files, compiled into the binary, served under the strict policy of SEC-100.
struct ConsoleFiles: Sendable {
    private struct File: Sendable { var data: Data; var type: String; var etag: String }
    private let files: [String: File]

    init() {
        func file(_ bytes: [UInt8], _ type: String) -> File {
            let data = Data(bytes)
            return File(data: data, type: type, etag: "\"\(Digest.sha256Hex(data).prefix(24))\"")
        }
        let script = "text/javascript; charset=utf-8"
        files = [
            "/": file(PackageResources.index_html, "text/html; charset=utf-8"),
            "/style.css": file(PackageResources.style_css, "text/css; charset=utf-8"),
            "/icon.svg": file(PackageResources.icon_svg, "image/svg+xml"),
            "/app.js": file(PackageResources.app_js, script),
            "/api.js": file(PackageResources.api_js, script),
            "/dom.js": file(PackageResources.dom_js, script),
            "/markdown.js": file(PackageResources.markdown_js, script),
            "/chat.js": file(PackageResources.chat_js, script),
            "/pages.js": file(PackageResources.pages_js, script),
            "/telegram.js": file(PackageResources.telegram_js, script),
        ]
    }

    /// A file, or the page itself for paths that only it knows, when the client wants HTML.
    func answer(_ path: String, accept: String?, ifNoneMatch: String?) throws -> Answer {
        let wantsPage = accept.map { $0.contains("text/html") } ?? false
        guard let file = files[path == "/index.html" ? "/" : path] ?? (wantsPage && !path.contains(".") ? files["/"] : nil) else { throw Problem.notFound }
        var headers: HTTPFields = [.eTag: file.etag, .cacheControl: "no-cache", .contentSecurityPolicy: ResponseHeaders.consolePolicy]
        if ifNoneMatch == file.etag { return Answer(status: 304, headers: headers) }
        if path == "/icon.svg" { headers[.contentSecurityPolicy] = "default-src 'none'; style-src 'unsafe-inline'; sandbox" }
        return Answer(headers: headers, content: .bytes(file.data, type: file.type))
    }
}
