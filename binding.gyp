# Builds build/Release/lorikeet.node through node-gyp, for people without CMake
# (`npm run build:native -- --tool node-gyp`, or `npx node-gyp rebuild`).
# Sources, macros and flags come from scripts/sources.js, the one list that CMakeLists.txt reads too.
{
  'targets': [
    {
      'target_name': 'lorikeet',
      'dependencies': ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except_all"],
      'sources': ['<!@(node scripts/sources.js sources)'],
      'include_dirs': ['native'],
      'defines': ['<!@(node scripts/sources.js defines)'],
      # Node's own defaults for addons, which the flags of the list replace.
      'cflags!': ['-fno-exceptions', '-O3', '-fno-omit-frame-pointer'],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['<!@(node scripts/sources.js cflags)'],
      'ldflags': ['<!@(node scripts/sources.js ldflags)'],
      'libraries': ['<!@(node scripts/sources.js libraries)'],
    },
    {
      # The loader refuses an addon without this marker, so one whose link was interrupted is never loaded.
      'target_name': 'done',
      'type': 'none',
      'dependencies': ['lorikeet'],
      'actions': [
        {
          'action_name': 'mark the addon as complete',
          'inputs': ['<(PRODUCT_DIR)/lorikeet.node'],
          'outputs': ['<(PRODUCT_DIR)/lorikeet.done'],
          'action': ['node', '-e', 'require("fs").writeFileSync(process.argv[1], "")', '<(PRODUCT_DIR)/lorikeet.done'],
        },
      ],
    },
  ],
}
