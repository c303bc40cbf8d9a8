import AsyncHTTPClient
import Foundation
import NIOCore
import Platform

/// Why a call of the Bot API did not succeed. Holds no URL and so no token.
enum TelegramFailure: Error, Sendable, Equatable {
    case transport(ChannelHTTP.Failure)
    /// Telegram's answer; `code` is `error_code`, or the HTTP status where the body was not Telegram's.
    case refused(code: Int, description: String, retryAfter: Double?, migrateTo: Int?)
    /// 200, but not what the method returns.
    case unreadable
}

/// The Bot API over HTTP. Tokens are part of the URL, which is why no URL leaves this file.
struct TelegramClient: Sendable {
    let http: HTTPClient
    let apiBase: String
    let fileBase: String

    static let callTimeout = Duration.seconds(20)

    init(http: HTTPClient, apiBaseURL: URL, fileBaseURL: URL) {
        self.http = http
        apiBase = Self.trimmed(apiBaseURL)
        fileBase = Self.trimmed(fileBaseURL)
    }
    private static func trimmed(_ url: URL) -> String {
        var text = url.absoluteString
        while text.hasSuffix("/") { text.removeLast() }
        return text
    }

    /// Calls a method with JSON parameters.
    func call<T: Decodable & Sendable>(
        _ method: String, _ parameters: Document = [:], token: Secret, returning: T.Type, timeout: Duration = callTimeout
    ) async throws(TelegramFailure) -> T {
        let body: Data
        do { body = try JSON.data(.object(parameters)) } catch { throw .unreadable }
        return try await post(method, body, contentType: "application/json", token: token, timeout: timeout)
    }

    /// Calls a method with a file.
    func upload<T: Decodable & Sendable>(_ method: String, _ form: MultipartForm, token: Secret, returning: T.Type) async throws(TelegramFailure) -> T {
        // 50 MB over a slow line takes longer than a call.
        try await post(method, form.encoded, contentType: form.contentType, token: token, timeout: .seconds(60))
    }

    private func post<T: Decodable & Sendable>(
        _ method: String, _ body: Data, contentType: String, token: Secret, timeout: Duration
    ) async throws(TelegramFailure) -> T {
        guard Self.isWellFormed(token) else { throw .refused(code: 401, description: "Unauthorized", retryAfter: nil, migrateTo: nil) }
        var request = HTTPClientRequest(url: "\(apiBase)/bot\(token.reveal())/\(method)")
        request.method = .POST
        request.headers.add(name: "content-type", value: contentType)
        request.body = .bytes(ByteBuffer(bytes: body))
        let response: ChannelHTTP.Response
        do { response = try await ChannelHTTP.exchange(request, by: http, timeout: timeout, limit: 8 << 20) } catch { throw .transport(error) }
        return try Self.result(response, T.self)
    }

    private struct Answer<T: Decodable>: Decodable {
        struct Parameters: Decodable { var retryAfter: Double?; var migrateToChatId: Int? }
        var ok: Bool
        var result: T?
        var errorCode: Int?
        var description: String?
        var parameters: Parameters?
    }

    static let decoder: JSONDecoder = {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return decoder
    }()

    private static func result<T: Decodable>(_ response: ChannelHTTP.Response, _ type: T.Type) throws(TelegramFailure) -> T {
        if response.status == 200 {
            guard let answer = try? decoder.decode(Answer<T>.self, from: response.body) else { throw .unreadable }
            if answer.ok, let result = answer.result { return result }
        }
        let answer = try? decoder.decode(Answer<Discarded>.self, from: response.body)
        throw .refused(
            code: answer?.errorCode ?? response.status, description: answer?.description ?? "",
            retryAfter: answer?.parameters?.retryAfter ?? response.header("retry-after").flatMap(Double.init), migrateTo: answer?.parameters?.migrateToChatId)
    }
    private struct Discarded: Decodable { init(from decoder: any Decoder) throws {} }

    /// Downloads what `getFile` named. Only a relative path below the bot's own folder of the file host is followed.
    func download(_ path: String, token: Secret, limit: Int) async throws -> Data {
        guard Self.isSafe(path: path), Self.isWellFormed(token) else { throw AttachmentFailure.refused("Telegram named a place for this file that is not allowed.") }
        let encoded = path.split(separator: "/").map { $0.addingPercentEncoding(withAllowedCharacters: Self.pathCharacters) ?? "" }.joined(separator: "/")
        let request = HTTPClientRequest(url: "\(fileBase)/file/bot\(token.reveal())/\(encoded)")
        let response: ChannelHTTP.Response
        do { response = try await ChannelHTTP.exchange(request, by: http, timeout: .seconds(60), limit: limit) } catch {
            if error == .tooLarge { throw AttachmentFailure.tooLarge(limit: limit) }
            throw AttachmentFailure.unreachable("The file could not be fetched from Telegram.")
        }
        switch response.status {
        case 200: return response.body
        case 500...: throw AttachmentFailure.unreachable("Telegram could not deliver the file (status \(response.status)).")
        case 300..<400: throw AttachmentFailure.refused("Telegram's file address leads elsewhere, which is not followed.")
        default: throw AttachmentFailure.gone("Telegram no longer has the file (status \(response.status)).")
        }
    }

    private static let pathCharacters = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    static func isSafe(path: String) -> Bool {
        guard (1...512).contains(path.utf8.count), !path.contains("\\"), path.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7f }) else { return false }
        return path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.contains(":") }
    }

    /// `^\d{5,15}:[A-Za-z0-9_-]{30,60}$` (API.md §3.4).
    static func isWellFormed(_ token: Secret) -> Bool {
        let parts = token.reveal().split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, (5...15).contains(parts[0].utf8.count), (30...60).contains(parts[1].utf8.count) else { return false }
        return parts[0].utf8.allSatisfy { (0x30...0x39).contains($0) }
            && parts[1].unicodeScalars.allSatisfy { $0.isASCII && ($0.properties.isAlphabetic || (0x30...0x39).contains($0.value) || $0 == "_" || $0 == "-") }
    }
}
