// English: a bot's head, tabs and overview.
export default {
  "bot.gone": "There is no such bot",
  "bot.goneText": "It was deleted, or it belongs to somebody else.",
  "bot.tabs": "Bot",
};
