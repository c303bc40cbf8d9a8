import Foundation

/// A `multipart/form-data` body (RFC 7578).
struct MultipartForm {
    private let boundary = "clawbot-" + UUID().uuidString
    private var body = Data()

    var contentType: String { "multipart/form-data; boundary=\(boundary)" }
    /// The body with its closing boundary.
    var encoded: Data { body + Data("--\(boundary)--\r\n".utf8) }

    mutating func add(_ name: String, _ value: String) {
        body += Data("--\(boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n\(value)\r\n".utf8)
    }
    mutating func add(_ name: String, file: Data, named fileName: String, type: String) {
        // Quotes and line ends would end the header field; browsers escape them the same way.
        let safe = fileName.replacing("\"", with: "%22").replacing("\r", with: "%0D").replacing("\n", with: "%0A")
        body += Data("--\(boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"; filename=\"\(safe)\"\r\nContent-Type: \(type)\r\n\r\n".utf8)
        body += file
        body += Data("\r\n".utf8)
    }
}
