import ControlPlane
import Foundation
import HTTPTypes
import Platform

/// A `multipart/form-data` body that was collected whole (RFC 7578): small fields, and files.
struct FormData {
    static let mostParts = 16
    private(set) var fields: Document = [:]
    private(set) var files: [String: Data] = [:]

    /// - Throws: 415 for another media type, 400 for a body that is no such form.
    init(_ call: Call) throws {
        guard let boundary = Self.boundary(call.header(.contentType)) else { throw Problem(.unsupportedMediaType, "Send the body as multipart/form-data.") }
        let malformed = Problem.invalid("body", "The form is not well-formed.")
        let body = call.rawBody, mark = Data("--\(boundary)".utf8), separator = Data("\r\n--\(boundary)".utf8), blank = Data("\r\n\r\n".utf8)
        guard body.starts(with: mark) else { throw malformed }
        var at = body.startIndex + mark.count
        while !body[at...].starts(with: Data("--".utf8)) {
            guard body[at...].starts(with: Data("\r\n".utf8)), fields.count + files.count < Self.mostParts else { throw malformed }
            // A part without headers begins with its blank line.
            guard let head = body.range(of: blank, in: at..<body.endIndex), let end = body.range(of: separator, in: (head.upperBound - 2)..<body.endIndex) else { throw malformed }
            guard let text = String(validating: body[(at + 2)..<max(at + 2, head.lowerBound)], as: UTF8.self), let part = Self.disposition(text) else { throw malformed }
            let content = end.lowerBound < head.upperBound ? Data() : Data(body[head.upperBound..<end.lowerBound])
            guard fields[part.name] == nil, files[part.name] == nil else { throw Problem.invalid(part.name, "Has been sent twice.") }
            if part.isFile {
                files[part.name] = content
            } else {
                guard content.count <= 64 << 10, let value = String(validating: content, as: UTF8.self) else { throw Problem.invalid(part.name, "Must be text of at most 64 KiB.") }
                fields[part.name] = .string(value)
            }
            at = end.upperBound
        }
    }

    private static func boundary(_ type: String?) -> String? {
        guard let pieces = type?.split(separator: ";").map({ $0.trimmingCharacters(in: .whitespaces) }), pieces.first?.lowercased() == "multipart/form-data",
            let given = pieces.dropFirst().first(where: { $0.lowercased().hasPrefix("boundary=") })?.dropFirst(9)
        else { return nil }
        let text = given.count >= 2 && given.first == "\"" && given.last == "\"" ? String(given.dropFirst().dropLast()) : String(given)
        return (1...70).contains(text.utf8.count) && text.utf8.allSatisfy { Characters.isWord($0) || "'()+,./:=? ".utf8.contains($0) } && text.last != " " ? text : nil
    }

    private static func disposition(_ head: String) -> (name: String, isFile: Bool)? {
        for line in head.components(separatedBy: "\r\n") {
            guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == "content-disposition" else { continue }
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            guard value.lowercased().hasPrefix("form-data") else { return nil }
            guard let start = value.range(of: "; name=\"")?.upperBound, let end = value[start...].firstIndex(of: "\"") else { return nil }
            let name = String(value[start..<end])
            guard (1...64).contains(name.utf8.count), Characters.all(name, Characters.isWord) else { return nil }
            return (name, value.contains("; filename=\"") || value.contains("; filename*="))
        }
        return nil
    }
}
