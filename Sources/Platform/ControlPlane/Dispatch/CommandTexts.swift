import Platform

/// What platform commands answer.
enum CommandTexts {
    static func help(_ bot: Bot) -> String {
        """
        I am **\(bot.name)**. Write to me in plain words. These commands are answered at once:

        - `/new` (also `/clear`, `/reset`): start a fresh session; my memory files stay
        - `/stop`: stop what I am doing and drop what waits behind it
        - `/status`: what I am doing, and how much quota is left
        - `/context`: how full my context is
        - `/compact`: summarise the session to make room
        - `/help`: this list
        """
    }
}
