// 简体中文：机器人的标题、标签页与概览。
export default {
  "bot.gone": "找不到该机器人",
  "bot.goneText": "它已被删除，或属于其他用户。",
  "bot.tabs": "机器人",
};
