/** What the demo's base model can be asked for, by the names of `emojibase-data`: things that a small picture shows clearly. */

const animals = `monkey face, monkey, gorilla, dog face, dog, poodle, wolf, fox, raccoon, cat face, cat, black cat, lion, tiger face,
horse face, horse, unicorn, zebra, deer, cow face, cow, pig face, pig, ewe, goat, camel, giraffe, elephant, rhinoceros, hippopotamus,
mouse face, hamster, rabbit face, chipmunk, hedgehog, bat, bear, polar bear, koala, panda, sloth, kangaroo, paw prints, turkey,
chicken, rooster, hatching chick, baby chick, bird, penguin, dove, eagle, duck, swan, owl, flamingo, peacock, parrot, frog, crocodile,
turtle, lizard, snake, dragon, sauropod, T-Rex, spouting whale, whale, dolphin, fish, tropical fish, blowfish, shark, octopus,
spiral shell, crab, lobster, shrimp, squid, snail, butterfly, bug, ant, honeybee, lady beetle, spider, scorpion`

const plants = `bouquet, cherry blossom, rose, hibiscus, sunflower, blossom, tulip, seedling, potted plant, evergreen tree,
deciduous tree, palm tree, cactus, herb, four leaf clover, maple leaf, fallen leaf, mushroom`

const food = `grapes, melon, watermelon, tangerine, lemon, banana, pineapple, mango, red apple, green apple, pear, peach, cherries,
strawberry, blueberries, kiwi fruit, tomato, coconut, avocado, eggplant, potato, carrot, ear of corn, hot pepper, cucumber, broccoli,
garlic, onion, bread, croissant, pretzel, pancakes, waffle, cheese wedge, meat on bone, poultry leg, bacon, hamburger, french fries,
pizza, hot dog, sandwich, taco, burrito, egg, cooking, popcorn, rice ball, sushi, fried shrimp, soft ice cream, ice cream, doughnut,
cookie, birthday cake, shortcake, cupcake, pie, chocolate bar, candy, lollipop, custard, honey pot, glass of milk, hot beverage,
teapot, wine glass, cocktail glass, tropical drink, beer mug, cup with straw, fork and knife, spoon, kitchen knife`

const places = `snow-capped mountain, volcano, camping, beach with umbrella, desert island, stadium, house, house with garden,
office building, hospital, school, factory, castle, church, mosque, fountain, tent, ferris wheel`

const transport = `locomotive, bus, ambulance, fire engine, police car, taxi, automobile, delivery truck, tractor, racing car,
motorcycle, bicycle, kick scooter, skateboard, fuel pump, stop sign, anchor, ring buoy, sailboat, speedboat, ship, airplane,
helicopter, rocket, flying saucer, parachute`

const sky = `crescent moon, full moon, sun, sun with face, ringed planet, star, cloud, rainbow, umbrella, high voltage, snowflake,
snowman, fire, droplet, water wave, tornado`

const play = `jack-o-lantern, Christmas tree, sparkles, balloon, party popper, ribbon, wrapped gift, trophy, sports medal, soccer ball,
baseball, basketball, volleyball, american football, tennis, bowling, boxing glove, bullseye, kite, crystal ball, video game,
game die, teddy bear, artist palette, yarn, ghost, alien, robot, pile of poo, clown face`

const objects = `glasses, sunglasses, necktie, t-shirt, jeans, scarf, socks, dress, handbag, backpack, running shoe, high-heeled shoe,
crown, top hat, graduation cap, lipstick, ring, gem stone, bell, musical note, microphone, headphone, radio, saxophone, trumpet,
guitar, violin, drum, mobile phone, telephone, battery, laptop, printer, floppy disk, movie camera, television, camera,
magnifying glass tilted left, candle, light bulb, red paper lantern, closed book, books, scroll, money bag, credit card, envelope,
package, pencil, paintbrush, crayon, briefcase, file folder, calendar, pushpin, paperclip, scissors, locked, key, hammer, axe, bomb,
shield, wrench, screwdriver, gear, magnet, ladder, test tube, microscope, telescope, syringe, pill, stethoscope, door, bed, chair,
toilet, bathtub, broom, basket, bucket, soap, toothbrush, fire extinguisher, shopping cart, alarm clock, hourglass done, watch,
red heart, blue heart, green heart, broken heart, sparkling heart`

export const words: ReadonlySet<string> = new Set(
  [animals, plants, food, places, transport, sky, play, objects].flatMap((list) => list.split(/,\s+/)),
)
