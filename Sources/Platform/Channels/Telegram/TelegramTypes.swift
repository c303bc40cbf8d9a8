/// Telegram's JSON (https://core.telegram.org/bots/api), as far as we read it; keys are converted from snake case.
struct TelegramUpdate: Decodable, Sendable {
    var updateId: Int
    var message: TelegramMessage?
    var editedMessage: TelegramMessage?
    var myChatMember: TelegramMemberChange?
}

struct TelegramUser: Decodable, Sendable {
    var id: Int
    var isBot: Bool?
    var firstName: String?
    var lastName: String?
    var username: String?
    var canReadAllGroupMessages: Bool?
    var canJoinGroups: Bool?
    var name: String { [firstName, lastName].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " ") }
}

struct TelegramChat: Decodable, Sendable {
    var id: Int
    var type: String
    var title: String?
    var username: String?
    var firstName: String?
    var lastName: String?
    var isGroup: Bool { type == "group" || type == "supergroup" }
    var name: String { title ?? [firstName, lastName].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " ") }
}

struct TelegramEntity: Decodable, Sendable {
    var type: String
    var offset: Int
    var length: Int
    var user: TelegramUser?
}

struct TelegramFile: Decodable, Sendable {
    var fileId: String
    var fileSize: Int?
    var fileName: String?
    var mimeType: String?
    var title: String?
    var width: Int?
    var height: Int?
    var filePath: String?
}

struct TelegramSticker: Decodable, Sendable {
    var fileId: String
    var fileSize: Int?
    var isAnimated: Bool?
    var isVideo: Bool?
    var emoji: String?
}

struct TelegramLocation: Decodable, Sendable { var latitude: Double; var longitude: Double }
struct TelegramVenue: Decodable, Sendable { var location: TelegramLocation; var title: String; var address: String }
struct TelegramContact: Decodable, Sendable { var phoneNumber: String; var firstName: String; var lastName: String? }
struct TelegramPoll: Decodable, Sendable {
    struct Option: Decodable, Sendable { var text: String }
    var question: String
    var options: [Option]
}
struct TelegramDice: Decodable, Sendable { var emoji: String; var value: Int }
struct TelegramQuote: Decodable, Sendable { var text: String }
struct TelegramOrigin: Decodable, Sendable {
    var senderUser: TelegramUser?
    var senderUserName: String?
    var senderChat: TelegramChat?
    var chat: TelegramChat?
}
struct TelegramExternalReply: Decodable, Sendable { var origin: TelegramOrigin? }

/// Something of which only the presence matters.
struct TelegramPresence: Decodable, Sendable { init(from decoder: any Decoder) throws {} }

/// The message that a message replies to. Of one level: Telegram never nests further.
struct TelegramReplied: Decodable, Sendable {
    var messageId: Int
    var from: TelegramUser?
    var senderChat: TelegramChat?
    var text: String?
    var caption: String?
    var forumTopicCreated: TelegramPresence?
}

struct TelegramMessage: Decodable, Sendable {
    var messageId: Int
    var messageThreadId: Int?
    var isTopicMessage: Bool?
    var date: Int
    var chat: TelegramChat
    var from: TelegramUser?
    var senderChat: TelegramChat?
    var isAutomaticForward: Bool?
    var replyToMessage: TelegramReplied?
    var externalReply: TelegramExternalReply?
    var quote: TelegramQuote?
    var mediaGroupId: String?
    var text: String?
    var entities: [TelegramEntity]?
    var caption: String?
    var captionEntities: [TelegramEntity]?
    var photo: [TelegramFile]?
    var document: TelegramFile?
    var audio: TelegramFile?
    var voice: TelegramFile?
    var video: TelegramFile?
    var videoNote: TelegramFile?
    var animation: TelegramFile?
    var sticker: TelegramSticker?
    var location: TelegramLocation?
    var venue: TelegramVenue?
    var contact: TelegramContact?
    var poll: TelegramPoll?
    var dice: TelegramDice?
    var story: TelegramPresence?
    var game: TelegramPresence?
    var paidMedia: TelegramPresence?
    var checklist: TelegramPresence?
    var migrateToChatId: Int?
    var migrateFromChatId: Int?
}

struct TelegramMemberChange: Decodable, Sendable {
    struct Member: Decodable, Sendable { var status: String; var isMember: Bool? }
    var chat: TelegramChat
    var newChatMember: Member
}

struct TelegramWebhookInfo: Decodable, Sendable {
    var url: String
    var lastErrorDate: Int?
    var lastErrorMessage: String?
    var pendingUpdateCount: Int?
}

struct TelegramSent: Decodable, Sendable { var messageId: Int }

/// One update of a poll; one that we cannot read still tells its number, so that it cannot block those behind it.
struct TelegramPolledUpdate: Decodable, Sendable {
    private struct Number: Decodable { var updateId: Int }
    var updateId: Int
    var update: TelegramUpdate?
    init(from decoder: any Decoder) throws {
        updateId = try Number(from: decoder).updateId
        update = try? TelegramUpdate(from: decoder)
    }
}
