# For users of node-gyp: leads into the same build as scripts/setup.mjs (cmake-js, CMakeLists.txt).
{
  'targets': [
    {
      'target_name': 'magrpo',
      'type': 'none',
      'actions': [
        {
          'action_name': 'setup',
          'message': 'building the addon by scripts/setup.mjs',
          'inputs': ['CMakeLists.txt'],
          'outputs': ['<(PRODUCT_DIR)/magrpo.node'],
          'action': ['node', 'scripts/setup.mjs', '--only', 'platform,system,libtorch,addon'],
        },
      ],
    },
  ],
}
